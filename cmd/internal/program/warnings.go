package program

import (
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/exporters/otlp"
	"github.com/trainbridge/trainbridge/exporters/web"
)

// warnings are what a person who looks at the page should know of the bridge itself.
func (b *bridge) warnings() (all []web.Warning) {
	if ok, err := b.ledger.Writable(); !ok {
		all = append(all, web.Warning{
			Critical: true, Why: "The state cannot be written, so nothing new is counted or shown: " + err.Error(),
			Do: "Free room on its disk, or mend its permissions; it goes on by itself.", Alert: "TrainbridgeStateNotWritable",
		})
	}
	if refused := b.self.badReload.Load(); refused != nil {
		all = append(all, web.Warning{
			Why: "The configuration file could not be reloaded, and the one before it is in force: " + refused.why, When: "refused", At: refused.at,
			Do: "Mend what it names, look with trainbridge check, and reload.", Alert: "TrainbridgeConfigReloadFailed",
		})
	}
	if x := b.sending.Load(); x != nil {
		for _, t := range x.Troubles() {
			all = append(all, otlpWarnings(t, time.Now())...)
		}
	}
	return all
}

// How long requests fail before it is said, and how long a loss is news, as for the alert TrainbridgeOtlpDataLost.
const (
	otlpFailsFor = time.Minute
	otlpLossNews = 30 * time.Minute
)

func otlpWarnings(t otlp.Trouble, now time.Time) (all []web.Warning) {
	w := web.Warning{
		Why: "The OTLP receiver does not take " + t.Signal + ": " + strings.TrimRight(t.Why, ". ") + ".", When: "began", At: t.Failing, Alert: "TrainbridgeOtlpFailing",
		Do: "See whether the receiver runs and what it says, and check the endpoint. Spans wait; metrics are superseded.",
	}
	switch {
	case t.Failing.IsZero():
	case t.Refused:
		w.Do = "Check the endpoint and its credentials in the configuration. Spans wait; metrics are superseded."
		all = append(all, w)
	case now.Sub(t.Failing) >= otlpFailsFor:
		all = append(all, w)
	}
	if !t.Lost.IsZero() && now.Sub(t.Lost) < otlpLossNews {
		all = append(all, web.Warning{
			Why: "The OTLP receiver refused " + t.Signal + " for good; they are lost.", When: "last lost", At: t.Lost,
			Do: "See the log for its reason: most often a limit of the receiver, or times that are too old for it.", Alert: "TrainbridgeOtlpDataLost",
		})
	}
	return all
}
