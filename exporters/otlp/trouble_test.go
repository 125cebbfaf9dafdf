package otlp

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestTrouble: since when a signal fails and why, through being refused and being busy, until a request is taken; and what was lost.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReporter("traces", newMeters(), slog.New(slog.DiscardHandler))
		if trouble, any := r.troubles(); any {
			t.Errorf("before the first request: %+v", trouble)
		}
		r.request(answer{}, 3)
		began := time.Now().Add(time.Minute)
		time.Sleep(time.Minute)
		r.request(answer{verdict: retry, why: "busy"}, 3)
		time.Sleep(time.Minute)
		r.request(answer{verdict: denied, why: "401"}, 3)
		want := Trouble{Signal: "traces", Failing: began, Refused: true, Why: "401"}
		if trouble, any := r.troubles(); !any || trouble != want {
			t.Errorf("refused: %+v, want %+v", trouble, want)
		}
		time.Sleep(time.Minute)
		r.request(answer{verdict: retry, why: "busy"}, 3)
		want.Refused, want.Why = false, "busy"
		if trouble, _ := r.troubles(); trouble != want {
			t.Errorf("failing: %+v, want %+v", trouble, want)
		}
		r.request(answer{verdict: rejected, why: "400"}, 3)
		want.Why = "400"
		if trouble, _ := r.troubles(); trouble != want {
			t.Errorf("rejected: %+v, want %+v", trouble, want)
		}
		r.request(answer{refused: 1, why: "too old"}, 3)
		want = Trouble{Signal: "traces", Lost: time.Now()}
		if trouble, any := r.troubles(); !any || trouble != want {
			t.Errorf("partly taken: %+v, want %+v", trouble, want)
		}
		time.Sleep(time.Second) // within the minute in which the log is silent
		r.lost(2, "bad")
		want.Lost = time.Now()
		if trouble, _ := r.troubles(); trouble != want {
			t.Errorf("lost again: %+v, want %+v", trouble, want)
		}
	})
}
