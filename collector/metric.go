package collector

import "strings"

// Kind is what a metric is to OpenTelemetry and to Prometheus.
type Kind uint8

// The kinds. An UpDown is a non-monotonic sum to OTLP and a gauge to Prometheus.
const (
	Gauge Kind = iota
	Counter
	UpDown
	Distribution // a histogram
)

// Tier says how long a job's series stay.
type Tier uint8

// The tiers.
const (
	Lasting Tier = iota // for the retention after the end
	Live                // leaves when the job ends
	Forever             // has no job id
)

// Entity is what rows are read from: a job, a group or a source.
type Entity interface {
	// Identity appends the values of the labels that every series of the entity carries.
	Identity(dst []string) []string
	// Start is when the entity's counters began; unknown if they began before the bridge looked.
	Start() Time
	// Done reports whether Live rows are absent.
	Done() bool
}

// Row is one metric. The OTel name, unit and kind are the source; Prom is what the standard translation makes of them.
type Row[T Entity] struct {
	Name   string   // OTel name
	Prom   string   // Prometheus name
	Unit   string   // UCUM
	Kind   Kind     //
	Tier   Tier     //
	Help   string   //
	Labels []string // OTel attribute keys beyond the identity
	Bounds []int    // of a Distribution: the exponents of the classic buckets' upper bounds 2^e, ascending

	read  func(e T, to *Points)
	start func(e T) Time // instead of Entity.Start
	gpu   GPUMetric      // what a row of a GPU shows, where that is a value
}

// Read appends the row's points for e. It appends nothing where there is no value: missing is absent.
func (r *Row[T]) Read(e T, to *Points) {
	if r.Tier == Live && e.Done() {
		return
	}
	to.width = len(r.Labels)
	r.read(e, to)
}

// Start is when the row's counter began for e.
func (r *Row[T]) Start(e T) Time {
	if r.start != nil {
		return r.start(e)
	}
	return e.Start()
}

// PromLabel is the Prometheus label of an OTel attribute key.
func PromLabel(key string) string { return strings.ReplaceAll(key, ".", "_") }

// JobIdentity is the attribute keys whose values a job's Identity gives.
func JobIdentity() []string { return []string{"training.source", "training.job.id"} }

// GroupIdentity is the attribute keys whose values a group's Identity gives.
func GroupIdentity() []string { return []string{"training.source", "training.group"} }

// SourceIdentity is the attribute keys whose values a source's Identity gives.
func SourceIdentity() []string { return []string{"training.source"} }

// Points receives what rows read. It is reused to spare allocations: Reset, let rows append, range over Len.
type Points struct {
	points []point
	labels []string
	width  int
}

type point struct {
	value     float64
	histogram *Histogram
	from, to  int
}

// Reset empties p and keeps its memory.
func (p *Points) Reset() { p.points, p.labels = p.points[:0], p.labels[:0] }

// Len is the number of points.
func (p *Points) Len() int { return len(p.points) }

// Value is point i's number; a histogram's is its count.
func (p *Points) Value(i int) float64 { return p.points[i].value }

// Histogram is point i's distribution, nil for a plain number.
func (p *Points) Histogram(i int) *Histogram { return p.points[i].histogram }

// Labels are the values of the row's own labels at point i, valid until Reset. Empty values stand for absent labels.
func (p *Points) Labels(i int) []string { return p.labels[p.points[i].from:p.points[i].to] }

// Add appends a number with the values of the row's labels, in the row's order.
func (p *Points) Add(v float64, labels ...string) {
	from := len(p.labels)
	p.labels = append(p.labels, labels...)
	p.points = append(p.points, point{value: v, from: from, to: len(p.labels)})
}

// AddHistogram appends a distribution.
func (p *Points) AddHistogram(h *Histogram, labels ...string) {
	if h == nil {
		return
	}
	p.Add(float64(h.Count), labels...)
	p.points[len(p.points)-1].histogram = h
}

// addJoined appends a number whose labels were joined by JoinLabels.
func (p *Points) addJoined(v float64, joined string) {
	from := len(p.labels)
	for range p.width {
		head, tail, _ := strings.Cut(joined, labelSeparator)
		p.labels = append(p.labels, head)
		joined = tail
	}
	p.points = append(p.points, point{value: v, from: from, to: len(p.labels)})
}
