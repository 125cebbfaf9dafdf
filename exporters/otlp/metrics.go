package otlp

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trainbridge/trainbridge/collector"
)

// encoder writes snapshots as ExportMetricsServiceRequests of bounded size. It goes from entity to entity and appends each
// point to the part of its metric, so that a request holds a run of entities and names every metric once. Buffers
// are kept between requests and snapshots. It is not safe for concurrent use.
type encoder struct {
	frame     frame
	jobs      table[*collector.Job]
	groups    table[*collector.Group]
	sources   table[*collector.SourceView]
	gpus      table[*collector.GPU]
	hosts     table[*collector.GPUHost]
	dcgm      table[*collector.DCGMView]
	parts     []*part // of all tables, in order
	maxPoints int
	maxBytes  int

	now    uint64
	emit   func(body []byte, points int) error
	points int // in the request so far
	bytes  int // an upper bound of its size
	body   []byte
	read   collector.Points
	gone   collector.Points // of the entity before
	values []string
	point  []byte
	ids    ids
}

// ids are the attributes of the entity at hand, encoded as a field of number points and of histogram points.
type ids struct{ number, histogram []byte }

// promotion adds labels of the info series to the other series of a job.
type promotion struct {
	info   collector.Row[*collector.Job]
	at     []int // positions in the info row's labels
	labels []label
}

// newEncoder returns an error if a label to promote is not one of the info series.
func newEncoder(f frame, jobLabels []string) (*encoder, error) {
	e := &encoder{frame: f, maxPoints: maxPoints, maxBytes: maxBody}
	jobs := collector.JobRows()
	promoted, err := newPromotion(jobs, jobLabels)
	if err != nil {
		return nil, err
	}
	e.jobs = newTable(jobs, collector.JobIdentity())
	e.jobs.promote = promoted.append
	for i, r := range jobs {
		e.jobs.parts[i].bare = promoted.clashes(r.Labels)
	}
	e.groups = newTable(collector.GroupRows(), collector.GroupIdentity())
	e.sources = newTable(collector.SourceRows(), collector.SourceIdentity())
	e.gpus = newTable(collector.GPURows(), collector.GPUIdentity())
	e.hosts = newTable(collector.GPUHostRows(), nil)
	e.dcgm = newTable(collector.DCGMRows(), collector.DCGMIdentity())
	e.parts = slices.Concat(e.jobs.parts, e.groups.parts, e.sources.parts, e.gpus.parts, e.hosts.parts, e.dcgm.parts)
	e.reset()
	return e, nil
}

// encode calls emit with one request after the other; the body is valid during the call. It stops at the first error of
// emit and returns it. now is the time of every point. Series that are in before and not in s are ended; before may be nil.
func (e *encoder) encode(before, s *collector.Snapshot, now time.Time, emit func(body []byte, points int) error) error {
	e.reset()
	e.now, e.emit = uint64(now.UnixNano()), emit
	if err := encodeList(e, &e.sources, s.Sources); err != nil {
		return err
	}
	if err := e.encodeGPUs(s.GPUs); err != nil {
		return err
	}
	for g := range s.Groups.All {
		if err := encodeEntity(e, &e.groups, g); err != nil {
			return err
		}
	}
	for j := range s.Jobs.All {
		if err := encodeEntity(e, &e.jobs, j); err != nil {
			return err
		}
	}
	if err := e.withdraw(before, s); err != nil {
		return err
	}
	return e.flush()
}

func (e *encoder) encodeGPUs(v *collector.GPUView) error {
	if v == nil {
		return nil
	}
	if err := encodeEntity(e, &e.hosts, v.Host); err != nil {
		return err
	}
	if err := encodeList(e, &e.gpus, v.GPUs); err != nil {
		return err
	}
	return encodeList(e, &e.dcgm, v.DCGM)
}

func encodeList[T collector.Entity](e *encoder, t *table[T], items []T) error {
	for _, item := range items {
		if err := encodeEntity(e, t, item); err != nil {
			return err
		}
	}
	return nil
}

// table is a table of the schema with what is encoded of it beforehand.
type table[T collector.Entity] struct {
	rows     []collector.Row[T]
	parts    []*part // one for each row
	identity []label
	promote  func(e *encoder, item T) // appends promoted labels to e.ids; may be nil
}

func newTable[T collector.Entity](rows []collector.Row[T], identity []string) table[T] {
	t := table[T]{rows: rows, identity: newLabels(identity)}
	for i := range rows {
		t.parts = append(t.parts, newPart(&rows[i]))
	}
	return t
}

func encodeEntity[T collector.Entity](e *encoder, t *table[T], item T) error {
	e.identify(t.identity, item.Identity(e.values[:0]))
	bare := ids{e.ids.number, e.ids.histogram}
	if t.promote != nil {
		t.promote(e, item)
	}
	for i := range t.rows {
		e.read.Reset()
		t.rows[i].Read(item, &e.read)
		if e.read.Len() == 0 {
			continue
		}
		id := e.ids
		if t.parts[i].bare {
			id = ids{id.number[:len(bare.number)], id.histogram[:len(bare.histogram)]}
		}
		start := min(uint64(t.rows[i].Start(item)), e.now)
		if err := e.add(t.parts[i], id, start); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) identify(labels []label, values []string) {
	e.values = values
	e.ids.number, e.ids.histogram = e.ids.number[:0], e.ids.histogram[:0]
	for i, l := range labels {
		e.ids.append(l, values[i])
	}
}

func (i *ids) append(l label, value string) {
	if value == "" {
		return
	}
	value = valid(value)
	i.number = l.append(i.number, numberAttributes, value)
	i.histogram = l.append(i.histogram, histogramAttributes, value)
}

// add appends the points that were read to p, and sends the request when it is full.
func (e *encoder) add(p *part, id ids, start uint64) error {
	for i := range e.read.Len() {
		labels := e.read.Labels(i)
		for k := range labels {
			labels[k] = valid(labels[k]) // the slice is ours until the next Reset
		}
		size := 0
		if p.kind == collector.Distribution {
			e.point = p.histogramPoint(e.point[:0], id.histogram, labels, e.read.Histogram(i), start, e.now)
			size = len(e.point)
		} else {
			size = p.numberSize(id.number, labels, start)
		}
		if err := e.makeRoom(p, sizeBytes(size)); err != nil {
			return err
		}
		if p.kind == collector.Distribution {
			p.points = appendMessage(p.points, 1, e.point)
		} else {
			p.appendNumber(size, id.number, labels, e.read.Value(i), start, e.now)
		}
	}
	return nil
}

// makeRoom counts a point of p, sending the request first if it would not fit.
func (e *encoder) makeRoom(p *part, size int) error {
	if e.points == e.maxPoints || e.bytes+p.overhead()+size > e.maxBytes {
		if err := e.flush(); err != nil {
			return err
		}
	}
	e.bytes += p.overhead() + size
	e.points++
	return nil
}

func (e *encoder) reset() {
	for _, p := range e.parts {
		p.points = p.points[:0]
	}
	e.points, e.bytes = 0, e.frame.size()
}

// flush sends what was gathered.
func (e *encoder) flush() error {
	if e.points == 0 {
		return nil
	}
	size := 0
	for _, p := range e.parts {
		if len(p.points) > 0 {
			size += sizeBytes(p.size())
		}
	}
	b := e.frame.open(e.body[:0], size)
	for _, p := range e.parts {
		if len(p.points) > 0 {
			b = p.append(b)
		}
	}
	e.body = b
	n := e.points
	e.reset()
	return e.emit(b, n)
}

func newPromotion(rows []collector.Row[*collector.Job], names []string) (promotion, error) {
	p := promotion{}
	if len(names) == 0 {
		return p, nil
	}
	at := slices.IndexFunc(rows, func(r collector.Row[*collector.Job]) bool { return r.Name == "training.job.info" })
	p.info = rows[at]
	for _, name := range names {
		i := slices.IndexFunc(p.info.Labels, func(key string) bool { return key == name || collector.PromLabel(key) == name })
		if i < 0 {
			return p, fmt.Errorf("job label %q is not a label of %s", name, p.info.Prom)
		}
		if !slices.Contains(p.at, i) {
			p.at = append(p.at, i)
			p.labels = append(p.labels, newLabel(p.info.Labels[i]))
		}
	}
	return p, nil
}

// clashes reports whether a row with such labels has one of the promoted labels itself.
func (p promotion) clashes(labels []string) bool {
	return slices.ContainsFunc(p.at, func(i int) bool { return slices.Contains(labels, p.info.Labels[i]) })
}

func (p promotion) append(e *encoder, j *collector.Job) {
	if len(p.at) == 0 {
		return
	}
	e.read.Reset()
	p.info.Read(j, &e.read)
	if e.read.Len() == 0 {
		return
	}
	values := e.read.Labels(0)
	for i, at := range p.at {
		e.ids.append(p.labels[i], values[at])
	}
}

// dataFields are the fields of a Metric that hold the points.
const (
	gaugeData     protowire.Number = 5
	sumData       protowire.Number = 7
	histogramData protowire.Number = 9
)
