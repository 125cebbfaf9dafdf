package program

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"

	"github.com/trainbridge/trainbridge/collector/ledger"
)

// self is the bridge's own metrics.
type self struct {
	badReload   atomic.Pointer[refusal] // of the newest reload; nil if it was taken
	registry    *prometheus.Registry
	reloadOK    prometheus.Gauge
	reloadTime  prometheus.Gauge
	registered  *prometheus.CounterVec
	state       *stateMetrics
	passThrough *passThroughMetrics
}

func newSelf() *self {
	s := &self{
		registry: prometheus.NewRegistry(),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trainbridge_config_last_reload_successful",
			Help: "1 if the configuration file was taken when it was last read, 0 if it had mistakes and the one before stays in force.",
		}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trainbridge_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration in force was read.",
		}),
		registered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trainbridge_registrations_total",
			Help: "Jobs that someone told the bridge about, through the jobs API or the pass-through (via), by result: success or error.",
		}, []string{"training_source", "via", "result"}),
		state:       newStateMetrics(),
		passThrough: &passThroughMetrics{failures: desc("trainbridge_proxy_unregistered_jobs_total", "Jobs that a trainer created through the pass-through and that are not watched: the answer held no id, or the job could not be stored.", "training_source")},
	}
	s.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		versioncollector.NewCollector("trainbridge"), s.reloadOK, s.reloadTime, s.registered, s.state, s.passThrough,
	)
	return s
}

// refusal is why a configuration was not taken.
type refusal struct {
	why string
	at  time.Time
}

// reloaded records the outcome of reading the configuration.
func (s *self) reloaded(err error) {
	if err != nil {
		s.badReload.Store(&refusal{err.Error(), time.Now()})
		s.reloadOK.Set(0)
		return
	}
	s.badReload.Store(nil)
	s.reloadOK.Set(1)
	s.reloadTime.SetToCurrentTime()
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// stateMetrics reads the ledger when they are gathered.
type stateMetrics struct {
	mu      sync.Mutex
	engine  ledger.Engine // nil before it is open
	durable bool

	durability, writable, lastWrite, recovered, quarantined *prometheus.Desc
	spans, bytes, produced, sent, dropped                   *prometheus.Desc
}

func newStateMetrics() *stateMetrics {
	return &stateMetrics{
		durability:  desc("trainbridge_state_durable", "1 if the state is kept in a directory, 0 if it is in memory and lost with the process."),
		writable:    desc("trainbridge_state_writable", "1 if the last write of the state succeeded."),
		lastWrite:   desc("trainbridge_state_last_write_timestamp_seconds", "When the state was last written."),
		recovered:   desc("trainbridge_state_recovered_info", "Present if the state was damaged at the start: what took its place (from).", "from"),
		quarantined: desc("trainbridge_state_quarantined_records_total", "Records of the state that were damaged or not understood, and set aside."),
		spans:       desc("trainbridge_outbox_spans", "Spans that wait for an OTLP receiver."),
		bytes:       desc("trainbridge_outbox_bytes", "Size of the spans that wait for an OTLP receiver."),
		produced:    desc("trainbridge_outbox_spans_produced_total", "Spans made. Produced is always sent + waiting + dropped."),
		sent:        desc("trainbridge_outbox_spans_sent_total", "Spans that left: the receiver took them, or refused them for good, which trainbridge_otlp_items_total tells apart."),
		dropped:     desc("trainbridge_outbox_spans_dropped_total", "Spans dropped because the outbox was full."),
	}
}

// open shows the metrics of an engine from now on.
func (m *stateMetrics) open(e ledger.Engine, durable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engine, m.durable = e, durable
}

// isDurable reports whether the state outlives the process; until it is open, it does.
func (m *stateMetrics) isDurable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable || m.engine == nil
}

// Describe implements [prometheus.Collector].
func (m *stateMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.durability, m.writable, m.lastWrite, m.recovered, m.quarantined, m.spans, m.bytes, m.produced, m.sent, m.dropped,
	} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (m *stateMetrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.engine == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	writable, _ := m.engine.Writable()
	gauge(m.durability, oneIf(m.durable))
	gauge(m.writable, oneIf(writable))
	if t := m.engine.LastWrite(); !t.IsZero() {
		gauge(m.lastWrite, float64(t.UnixNano())/1e9)
	}
	if from := m.engine.Recovered(); from != "" {
		gauge(m.recovered, 1, from)
	}
	s := m.engine.OutboxStats()
	gauge(m.spans, float64(s.Queued))
	gauge(m.bytes, float64(s.Bytes))
	counter(m.quarantined, m.engine.Quarantined())
	counter(m.produced, s.Produced)
	counter(m.sent, s.Sent)
	counter(m.dropped, s.Dropped)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// passThroughMetrics reads the pass-throughs when they are gathered.
type passThroughMetrics struct {
	mu       sync.Mutex
	of       map[string]func() uint64 // jobs that are not watched, by source
	failures *prometheus.Desc
}

func (m *passThroughMetrics) set(of map[string]func() uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of = of
}

// Describe implements [prometheus.Collector].
func (m *passThroughMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.failures }

// Collect implements [prometheus.Collector].
func (m *passThroughMetrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for source, failures := range m.of {
		to <- prometheus.MustNewConstMetric(m.failures, prometheus.CounterValue, float64(failures()), source)
	}
}
