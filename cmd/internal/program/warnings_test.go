package program

import (
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/exporters/otlp"
)

// TestOTLPWarnings: what is said of an OTLP receiver, and when.
func TestOTLPWarnings(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		name    string
		trouble otlp.Trouble
		alerts  string
		why     string
	}{
		{"well", otlp.Trouble{}, "", ""},
		{"a moment", otlp.Trouble{Failing: ago(59 * time.Second)}, "", ""},
		{"a minute", otlp.Trouble{Signal: "traces", Failing: ago(time.Minute), Why: "connection refused."}, "TrainbridgeOtlpFailing", "does not take traces: connection refused."},
		{"refused", otlp.Trouble{Signal: "metrics", Failing: now, Refused: true, Why: "401"}, "TrainbridgeOtlpFailing", "does not take metrics: 401."},
		{"lost", otlp.Trouble{Signal: "traces", Lost: ago(29 * time.Minute)}, "TrainbridgeOtlpDataLost", "refused traces for good"},
		{"lost long ago", otlp.Trouble{Lost: ago(30 * time.Minute)}, "", ""},
		{"both", otlp.Trouble{Failing: ago(time.Hour), Lost: ago(time.Minute)}, "TrainbridgeOtlpFailing TrainbridgeOtlpDataLost", ""},
	} {
		var alerts []string
		why := ""
		for _, w := range otlpWarnings(c.trouble, now) {
			alerts, why = append(alerts, w.Alert), why+w.Why
			if w.Do == "" || w.At.IsZero() || w.When == "" || w.Critical {
				t.Errorf("%s: %+v", c.name, w)
			}
		}
		if got := strings.Join(alerts, " "); got != c.alerts || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q (%s), want %q (%s)", c.name, got, why, c.alerts, c.why)
		}
	}
}
