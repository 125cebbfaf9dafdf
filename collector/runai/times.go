package runai

import (
	"strconv"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// timeLayouts are the ways in which the service writes times: RFC 3339, and with a space and no zone, which is documented by
// example only. A time without a zone is read as UTC.
var timeLayouts = [...]string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 -0700", "2006-01-02T15:04:05.999999999-0700",
}

// parseTime reads a time; what is none, or is before 1970 or after 2200, is unknown.
func parseTime(s string) collector.Time {
	s = strings.TrimSpace(s)
	if len(s) < len("2006-01-02T15:04:05") || len(s) > 64 {
		return 0
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Year() < 1970 || t.Year() > 2200 {
				return 0
			}
			return collector.TimeOf(t)
		}
	}
	return 0
}

// timeIn is the time in a value; odd says that there is something else than a time or nothing.
func timeIn(v api.Value) (t collector.Time, odd bool) {
	s, ok := v.Text()
	if !ok {
		return 0, v.Kind != api.Null
	}
	t = parseTime(s)
	return t, !t.Known() && s != "" && !strings.HasPrefix(s, "0001-01-01") // how Go writes no time
}

// textIn is a string, or a number as it is written: ids come as both.
func textIn(v api.Value) string {
	if s, ok := v.Text(); ok {
		return s
	}
	if v.Kind == api.Number && len(v.Raw) <= 32 {
		return string(v.Raw)
	}
	return ""
}

// millis is a time as part of what tells rows apart. Times are written with milliseconds or without, and the two lists need not agree
// on more.
func millis(t collector.Time) string { return strconv.FormatInt(int64(t)/1e6, 10) }
