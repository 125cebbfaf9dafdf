package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trainbridge/trainbridge/collector"
)

// maxShown bounds every foreign text on the page, in runes; what is shown in a table is shorter, and this much stands in the title.
const maxShown = 512

// clean makes foreign text fit to be shown: valid UTF-8 without control, text-direction and invisible characters.
func clean(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' || r == '\u2028' || r == '\u2029' {
			continue
		}
		if n++; n > maxShown {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// short cuts a text at n runes and shows that it did.
func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return strings.TrimRight(string(runes[:n-1]), " ") + "…"
}

// A label is a foreign text: what fits, and all of it.
type label struct{ Text, Full string }

func labelOf(s string, n int) label {
	full := clean(s)
	return label{short(full, n), full}
}

// number shows a value in few digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "+∞"
	case math.IsInf(v, -1):
		return "−∞"
	case a >= 1e15:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case a >= 1e12:
		return trimmed(v/1e12) + " T"
	case a >= 1e9:
		return trimmed(v/1e9) + " G"
	case a >= 1e6:
		return trimmed(v/1e6) + " M"
	case a >= 1e4:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a != 0 && a < 1e-3:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return trimmed(v)
}

func trimmed(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }

func bytes2(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.4g %s", v, units[i])
}

func money(v float64, currency string) string {
	digits := 2
	if v != 0 && math.Abs(v) < 0.1 {
		digits = 4
	}
	return strings.TrimSpace(strconv.FormatFloat(v, 'f', digits, 64) + " " + clean(currency))
}

// span is a duration for people; the page's script says it in the same way.
func span(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 0:
		return "-" + span(-d)
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 48*3600:
		return fmt.Sprintf("%d h %02d min", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s%86400/3600)
}

// A moment is a time as the page shows it: how long ago, and exactly.
type moment struct{ ISO, Text string }

// clock is the time by which a page is made. A frame of updates says times absolutely, so that only news changes it, and
// the page's script makes ages of them.
type clock struct {
	now  time.Time
	live bool
}

func (c clock) moment(t collector.Time) moment {
	if !t.Known() {
		return moment{}
	}
	m := moment{ISO: t.Std().Truncate(time.Second).Format(time.RFC3339), Text: t.Std().Format("15:04:05 UTC")}
	if c.live {
		return m
	}
	if d := c.now.Sub(t.Std()); d < 0 {
		m.Text = "in " + span(-d)
	} else {
		m.Text = span(d) + " ago"
	}
	return m
}

// date is an exact time.
func date(t collector.Time) string { return t.Std().Format("2006-01-02 15:04:05 UTC") }

// A sign is a state in three ways: a word, a symbol and a class for the colour.
type sign struct{ Word, Symbol, Class string }

var phaseSigns = map[collector.Phase]sign{
	collector.Pending:      {"pending", "○", "quiet"},
	collector.Initializing: {"initializing", "◔", "busy"},
	collector.Running:      {"running", "▶", "busy"},
	collector.Paused:       {"paused", "‖", "quiet"},
	collector.Stopping:     {"stopping", "□", "quiet"},
	collector.Succeeded:    {"succeeded", "✓", "good"},
	collector.Failed:       {"failed", "✖", "bad"},
	collector.Cancelled:    {"cancelled", "⊘", "quiet"},
	collector.Unknown:      {"unknown", "?", "quiet"},
}

func phaseSign(p collector.Phase) sign {
	if s, ok := phaseSigns[p]; ok {
		return s
	}
	return phaseSigns[collector.Unknown]
}

// plural is a count with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped is a count with a thin space between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
