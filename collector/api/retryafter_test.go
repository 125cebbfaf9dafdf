package api

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	at := func(d time.Duration, layout string) string { return now.Add(d).Format(layout) }
	for _, c := range []struct {
		name, value string
		want        time.Duration
		ok          bool
	}{
		{"seconds", "30", 30 * time.Second, true}, {"float", "1.5", 1500 * time.Millisecond, true}, {"spaces", " 7 ", 7 * time.Second, true},
		{"zero", "0", time.Second, true}, {"small", "0.001", time.Second, true}, {"huge", "99999999999999999999", time.Hour, true}, {"hour", "3601", time.Hour, true},
		{"imf", at(2*time.Minute, http.TimeFormat), 2 * time.Minute, true},
		{"rfc850", at(2*time.Minute, "Monday, 02-Jan-06 15:04:05 GMT"), 2 * time.Minute, true},
		{"asctime", at(2*time.Minute, time.ANSIC), 2 * time.Minute, true},
		{"past", at(-time.Hour, http.TimeFormat), time.Second, true}, {"far", at(1000*time.Hour, http.TimeFormat), time.Hour, true},
		{"year 9999", "Fri, 31 Dec 9999 23:59:59 GMT", time.Hour, true},
		{"negative", "-5", 0, false}, {"words", "soon", 0, false}, {"empty", "", 0, false}, {"nan", "NaN", 0, false}, {"inf", "Inf", 0, false},
		{"exponent", "1e9", 0, false}, {"hex", "0x10", 0, false}, {"dots", "1.2.3", 0, false}, {"dot", ".", 0, false},
	} {
		got, ok := retryAfter(http.Header{"Retry-After": {c.value}}, now)
		if got != c.want || ok != c.ok {
			t.Errorf("%s: got %v %v, want %v %v", c.name, got, ok, c.want, c.ok)
		}
	}
	h := http.Header{"Retry-After-Ms": {"2500"}, "Retry-After": {"60"}}
	if got, ok := retryAfter(h, now); got != 2500*time.Millisecond || !ok {
		t.Errorf("milliseconds: got %v %v", got, ok)
	}
	h = http.Header{"Retry-After": {at(time.Minute, http.TimeFormat)}, "Date": {at(50*time.Second, http.TimeFormat)}}
	if got, _ := retryAfter(h, now); got != 10*time.Second {
		t.Errorf("by the service's own clock: got %v", got)
	}
}

func TestBackoff(t *testing.T) {
	for n := 1; n < 100; n++ {
		bound := min(time.Second<<min(n-1, 20), 5*time.Minute)
		for range 50 {
			if got := backoff(n); got <= 0 || got > bound {
				t.Fatalf("after %d attempts: %v", n, got)
			}
		}
	}
}
