package tensorone

import (
	"math"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/api"
)

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"32m": 32 * time.Minute, "2h 15m": 135 * time.Minute, "2h15m": 135 * time.Minute, "1d2h": 26 * time.Hour, "90s": 90 * time.Second,
		"1h30m05s": time.Hour + 30*time.Minute + 5*time.Second, "1d 2h 3m 4s": 26*time.Hour + 3*time.Minute + 4*time.Second,
		"0s": 0, "0": 0, "90": 90 * time.Second, "1.5h": 90 * time.Minute, "45 min": 45 * time.Minute, "2 hours 15 minutes": 135 * time.Minute,
		"1 day, 3 hours": 27 * time.Hour, " 5m ": 5 * time.Minute, "1e2": 100 * time.Second, "500ms": 500 * time.Millisecond,
		"2H 15M": 135 * time.Minute, "1w": 7 * 24 * time.Hour, "3d 4s": 72*time.Hour + 4*time.Second,
	} {
		if got, ok := parseDuration(text, 1); !ok || got != want {
			t.Errorf("%q is %v (%t), want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", " ", "soon", "m", "-5m", "-5", "1m 2h", "1h 1h", "1h30", "5 parsecs", "1h-3m", "N/A", "null", "NaN", "Inf", "1e400", "99999999999h", "0x10", "1_0",
		"1..5h", "about 5m", "12:30:00", "32m left and much more text than anybody would ever write here, really",
	} {
		if got, ok := parseDuration(text, 1); ok {
			t.Errorf("%q is %v, must be nothing", text, got)
		}
	}
	if got, _ := parseDuration("90", timeUnits["minutes"]); got != 90*time.Minute {
		t.Errorf("90 minutes are %v", got)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]float64{
		"2.3GB": 2.3e9, "27.6 GB": 27.6e9, "512MiB": 512 << 20, "1TiB": 1 << 40, "10KB": 10e3, "10 kB": 10e3, "7B": 7, "1.5G": 1.5e9, "1.5Gi": 1.5 * (1 << 30),
		"0GB": 0, "12 bytes": 12, "1024": 1024, "2.3gb": 2.3e9,
	} {
		if got, ok := parseSize(text, 1, decimal); !ok || got != want {
			t.Errorf("%q is %v (%t), want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "GB", "-1GB", "2.3XB", "2.3 G B", "NaN", "1e400", "big", "99999999999PB", "2.3GBs", "0x10GB"} {
		if got, ok := parseSize(text, 1, decimal); ok {
			t.Errorf("%q is %v, must be nothing", text, got)
		}
	}
	if got, _ := parseSize("2GB", 1, binary); got != 2<<30 {
		t.Errorf("2GB in binary is %v", got)
	}
	if got, _ := parseSize("2GiB", 1, decimal); got != 2<<30 {
		t.Errorf("2GiB in decimal is %v", got)
	}
	if _, ok := parseSize("38.2", byteUnits[off], decimal); ok {
		t.Error("a number is taken although its unit is off")
	}
	if got, _ := parseSize("38.2", byteUnits["GB"], decimal); got != 38.2e9 {
		t.Errorf("38.2 is %v", got)
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2024, 1, 15, 14, 30, 0, 0, time.UTC)
	for _, raw := range []string{
		`"2024-01-15T14:30:00Z"`, `"2024-01-15T14:30:00.000Z"`, `"2024-01-15T16:30:00+02:00"`, `"2024-01-15T14:30:00"`, `"2024-01-15 14:30:00"`, `1705329000`,
		`1705329000000`, `"1705329000"`, `1.705329e9`,
	} {
		got, ok, _ := parseTime(valueOf(t, raw))
		if !ok || !got.Std().Equal(at) {
			t.Errorf("%s is %v (%t)", raw, got.Std(), ok)
		}
	}
	for raw, nothing := range map[string]bool{
		`null`: true, `""`: true, `"soon"`: false, `0`: false, `-1`: false, `1e30`: false, `true`: false, `"0001-01-01T00:00:00Z"`: false, `{}`: false, `"9999-01-01T00:00:00Z"`: false,
	} {
		if got, ok, empty := parseTime(valueOf(t, raw)); ok || empty != nothing {
			t.Errorf("%s is %v (%t, %t)", raw, got, ok, empty)
		}
	}
}

func valueOf(t testing.TB, raw string) api.Value {
	t.Helper()
	kinds := map[byte]api.Kind{'n': api.Null, 't': api.Bool, 'f': api.Bool, '"': api.String, '{': api.Object, '[': api.Array}
	k, ok := kinds[raw[0]]
	if !ok {
		k = api.Number
	}
	return api.Value{Kind: k, Raw: []byte(raw)}
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"2h 15m", "1d2h", "90s", "1h30m05s", "12", "1.5 hours", "-1m", "1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, unit := range timeUnits {
			if d, ok := parseDuration(s, unit); ok != (d > 0) && d != 0 || d < 0 || d.Seconds() > maxDuration+1 {
				t.Errorf("%q is %v (%t)", s, d, ok)
			}
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"2.3GB", "27.6 GB", "512MiB", "12", "1e9", "-1B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, unit := range byteUnits {
			for _, texts := range []string{decimal, binary} {
				if b, ok := parseSize(s, unit, texts); ok && (!(b >= 0) || b > maxBytes || math.IsNaN(b)) {
					t.Errorf("%q is %v", s, b)
				}
			}
		}
	})
}
