package otlp

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of the label result.
const (
	resultSuccess  = "success"
	resultPartial  = "partial"
	resultRetry    = "retry"
	resultRejected = "rejected"
	resultError    = "error"
)

// meters are the exporter's own metrics.
type meters struct {
	exports, items *prometheus.CounterVec
	last           *prometheus.GaugeVec
}

func newMeters() *meters {
	return &meters{
		exports: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trainbridge_otlp_exports_total",
			Help: "OTLP requests by signal and result: success, partial (the receiver refused some items), retry (will be sent again), rejected (the content was refused), error (the endpoint refused or broke).",
		}, []string{"signal", "result"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trainbridge_otlp_items_total",
			Help: "Points and spans by signal and result. Those of retry and error are sent again (spans) or superseded (points); those of partial and rejected are lost.",
		}, []string{"signal", "result"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trainbridge_otlp_last_success_timestamp_seconds",
			Help: "When the receiver last accepted a request, by signal.",
		}, []string{"signal"}),
	}
}

// register adds the metrics to r, which may be nil.
func (m *meters) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.exports, m.items, m.last} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// unregister makes room for the exporter of the next configuration.
func (m *meters) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range []prometheus.Collector{m.exports, m.items, m.last} {
		r.Unregister(c)
	}
}

// health is how one signal fares.
type health uint8

const (
	untried health = iota
	working
	failing // tried again without help
	refused // an operator must act
)

// reporter counts the requests of one signal and logs when its health changes. Safe for concurrent use.
type reporter struct {
	signal string
	meters *meters
	log    *slog.Logger

	mu       sync.Mutex
	health   health
	lossSaid time.Time
	trouble  Trouble
}

func newReporter(signal string, m *meters, log *slog.Logger) *reporter {
	for _, result := range []string{resultSuccess, resultPartial, resultRetry, resultRejected, resultError} {
		m.exports.WithLabelValues(signal, result)
		m.items.WithLabelValues(signal, result)
	}
	return &reporter{signal: signal, meters: m, log: log}
}

// request records one answer to a request that held some items.
func (r *reporter) request(a answer, items int) {
	result := a.result()
	r.meters.exports.WithLabelValues(r.signal, result).Inc()
	r.note(a)
	switch result {
	case resultSuccess, resultPartial:
		lost := min(int(a.refused), items)
		r.items(resultSuccess, items-lost)
		r.items(resultPartial, lost)
		r.meters.last.WithLabelValues(r.signal).SetToCurrentTime()
		r.change(working, "")
		if lost > 0 {
			r.loss(lost, a.why)
		}
	case resultRetry:
		r.items(resultRetry, items)
		r.change(failing, a.why)
	case resultError:
		r.items(resultError, items)
		if a.verdict == unclear {
			r.change(failing, a.why)
		} else {
			r.change(refused, a.why)
		}
	}
}

func (r *reporter) items(result string, n int) {
	r.meters.items.WithLabelValues(r.signal, result).Add(float64(n))
}

// lost records items that were given up because the receiver refuses their content.
func (r *reporter) lost(n int, why string) {
	r.items(resultRejected, n)
	r.loss(n, why)
}

// change logs a new state of health; the same one again is silent.
func (r *reporter) change(to health, why string) {
	r.mu.Lock()
	from := r.health
	r.health = to
	r.mu.Unlock()
	if from == to {
		return
	}
	switch to {
	case working:
		if from != untried {
			r.log.Info("OTLP receiver accepts again", "signal", r.signal)
		}
	case failing:
		r.log.Warn("OTLP receiver cannot be reached, is busy or broken; trying again", "signal", r.signal, "reason", why)
	case refused:
		r.log.Error("OTLP receiver refuses requests; check endpoint and credentials", "signal", r.signal, "reason", why)
	}
}

// loss logs that items were given up, at most once in a minute: the counters have the exact number.
func (r *reporter) loss(n int, why string) {
	r.mu.Lock()
	r.trouble.Lost = time.Now()
	silent := r.trouble.Lost.Sub(r.lossSaid) < time.Minute
	if !silent {
		r.lossSaid = r.trouble.Lost
	}
	r.mu.Unlock()
	if !silent {
		r.log.Warn("OTLP receiver refused items; they are not sent again", "signal", r.signal, "items", n, "reason", why)
	}
}

// Trouble is what is wrong with one signal.
type Trouble struct {
	Signal  string    // metrics or traces
	Failing time.Time // since when no request is taken; zero if the latest one was
	Refused bool      // the endpoint or the credentials are at fault: it goes on until an operator acts
	Why     string    // why the latest request failed, for people
	Lost    time.Time // when the receiver last refused items for good; zero if it never did
}

// note remembers how the latest request went.
func (r *reporter) note(a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.trouble
	if a.taken() {
		t.Failing, t.Refused, t.Why = time.Time{}, false, ""
		return
	}
	if t.Failing.IsZero() {
		t.Failing = time.Now()
	}
	t.Refused, t.Why = a.verdict == denied, a.why
}

// troubles reports what is wrong, if anything is.
func (r *reporter) troubles() (t Trouble, any bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t = r.trouble
	t.Signal = r.signal
	return t, !t.Failing.IsZero() || !t.Lost.IsZero()
}
