package tensorone

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	maxAmountText = 64             // bytes of a text that is read as an amount
	maxDuration   = 87600 * 3600.0 // ten years in seconds: no training takes longer
	maxBytes      = 1 << 60        // no checkpoint is larger
)

// durationUnits are the units of a duration in a text, largest first.
var durationUnits = []struct {
	seconds float64
	names   []string
}{
	{604800, []string{"w", "wk", "wks", "week", "weeks"}},
	{86400, []string{"d", "day", "days"}},
	{3600, []string{"h", "hr", "hrs", "hour", "hours"}},
	{60, []string{"m", "min", "mins", "minute", "minutes"}},
	{1, []string{"s", "sec", "secs", "second", "seconds"}},
	{0.001, []string{"ms", "msec", "millisecond", "milliseconds"}},
}

// parseDuration reads "2h 15m", "1d2h", "90s", "32m", "1h30m05s" and the like: amounts with units, each unit once, the largest first. A
// bare number is in the unit given, in seconds. ok is false for anything else; there is no duration then, not one of 0.
func parseDuration(s string, unit float64) (d time.Duration, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxAmountText {
		return 0, false
	}
	if v, err := strconv.ParseFloat(s, 64); err == nil && isPlainNumber(s) {
		return toDuration(v * unit)
	}
	total, last := 0.0, -1
	for s != "" {
		v, rest, ok := cutNumber(s)
		if !ok {
			return 0, false
		}
		name, rest := cutWord(strings.TrimLeft(rest, " "))
		place := durationUnit(name)
		if place <= last {
			return 0, false
		}
		last = place
		total += v * durationUnits[place].seconds
		s = strings.TrimLeft(rest, " ,")
	}
	return toDuration(total)
}

func durationUnit(name string) int {
	name = strings.ToLower(name)
	for i, u := range durationUnits {
		for _, n := range u.names {
			if n == name {
				return i
			}
		}
	}
	return -1
}

func toDuration(seconds float64) (time.Duration, bool) {
	if !(seconds >= 0 && seconds <= maxDuration) {
		return 0, false
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), true
}

// cutNumber takes a decimal number without sign or exponent from the begin of s.
func cutNumber(s string) (v float64, rest string, ok bool) {
	i := 0
	for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '.') {
		i++
	}
	v, err := strconv.ParseFloat(s[:i], 64)
	return v, s[i:], err == nil
}

func cutWord(s string) (word, rest string) {
	i := 0
	for i < len(s) && (s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z') {
		i++
	}
	return s[:i], s[i:]
}

// isPlainNumber keeps Go's own ways to write numbers out: 0x10, 1_000, Inf.
func isPlainNumber(s string) bool { return strings.Trim(s, "0123456789.eE+-") == "" }

// sizeUnits are the exponents of units of bytes, by their first letter.
const sizeUnits = "kmgtp"

// parseSize reads "2.3GB", "27.6 GB", "512MiB" and the like into bytes. A bare number is in the unit given; with a unit of 0 it is left out.
func parseSize(s string, unit float64, texts string) (bytes float64, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > maxAmountText {
		return 0, false
	}
	if v, err := strconv.ParseFloat(s, 64); err == nil && isPlainNumber(s) {
		return toBytes(v, unit)
	}
	v, rest, ok := cutNumber(s)
	if !ok {
		return 0, false
	}
	scale, ok := sizeScale(strings.ToLower(strings.TrimSpace(rest)), texts)
	if !ok {
		return 0, false
	}
	return toBytes(v, scale)
}

// sizeScale is how many bytes a unit in a text has.
func sizeScale(name, texts string) (float64, bool) {
	switch name {
	case "b", "byte", "bytes":
		return 1, true
	case "":
		return 0, false
	}
	power := strings.IndexByte(sizeUnits, name[0]) + 1
	base := 1000.0
	switch name[1:] {
	case "", "b":
		if texts == binary {
			base = 1024
		}
	case "i", "ib":
		base = 1024
	default:
		power = 0
	}
	if power == 0 {
		return 0, false
	}
	return math.Pow(base, float64(power)), true
}

func toBytes(v, unit float64) (float64, bool) {
	b := v * unit
	return math.Round(b), unit > 0 && b >= 0 && b <= maxBytes
}

// number judges a value as a finite number; texts that are one are taken. null and an empty text are nothing, which is no mistake.
func number(v api.Value) (f float64, ok, nothing bool) {
	if v.Kind == api.Bool {
		return 0, false, false
	}
	if s, text := v.Text(); text && strings.TrimSpace(s) == "" {
		return 0, false, true
	}
	f, ok, nothing = v.Float()
	return f, ok && !math.IsNaN(f) && !math.IsInf(f, 0), nothing
}

// The years of a training's dates.
const (
	firstYear = 2000
	lastYear  = 2200
)

// layouts are the forms of a date; one without a zone is UTC.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05Z0700"}

// parseTime reads a date, or a number of seconds or milliseconds since 1970.
func parseTime(v api.Value) (at collector.Time, ok, nothing bool) {
	if s, text := v.Text(); text && len(s) <= maxAmountText {
		for _, layout := range layouts {
			if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
				return inRange(t)
			}
		}
	}
	f, ok, nothing := number(v)
	switch {
	case !ok:
		return 0, false, nothing
	case f > 1e11 && f < 1e14:
		return inRange(time.UnixMilli(int64(f)))
	case f > 0 && f <= 1e11:
		return inRange(time.Unix(0, 0).Add(time.Duration(min(f, 9e9) * float64(time.Second))))
	}
	return 0, false, false
}

func inRange(t time.Time) (collector.Time, bool, bool) {
	if y := t.Year(); y < firstYear || y >= lastYear {
		return 0, false, false
	}
	return collector.TimeOf(t), true, false
}
