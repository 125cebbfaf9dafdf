package collector

import "fmt"

// draft is one transaction in the making: new versions over those of the store.
type draft struct {
	r      *Recorder
	jobs   map[Key]*Job
	order  []Key
	groups map[GroupKey]*Group
	totals map[string]*Totals
	idle   map[string]Tally
	gone   []*Job
	spans  [][]byte
}

func newDraft(r *Recorder) *draft {
	return &draft{
		r: r, jobs: map[Key]*Job{}, groups: map[GroupKey]*Group{}, totals: map[string]*Totals{},
		idle: map[string]Tally{},
	}
}

func (d *draft) fold(u Update) error {
	before := d.job(u.Key)
	if before == nil && u.IfKnown {
		return nil
	}
	if before == nil {
		retired, err := d.isRetired(u.Key)
		if err != nil || retired {
			return err
		}
		if u.Absent || u.NotFound {
			return nil
		}
	}
	out := Reduce(before, u, d.r.o.Reduce)
	if !out.Changed {
		d.wait(u.Key.Source, out.Tally)
		return nil
	}
	d.put(before, out.Job)
	d.count(out, u)
	for _, s := range out.Spans {
		d.spans = append(d.spans, d.r.o.EncodeSpan(s))
	}
	return nil
}

func (d *draft) isRetired(k Key) (bool, error) {
	if d.r.retired[k] {
		return true, nil
	}
	retired, err := d.r.ledger.Retired(k)
	if err != nil {
		return false, fmt.Errorf("look for a tombstone of job %s: %w", k, err)
	}
	if retired {
		d.r.retired[k] = true
	}
	return retired, nil
}

func (d *draft) job(k Key) *Job {
	if j, ok := d.jobs[k]; ok {
		return j
	}
	return d.r.store.Job(k)
}

// put records that a job went from before to after, in the job itself and in its group.
func (d *draft) put(before, after *Job) {
	if _, ok := d.jobs[after.Key]; !ok {
		d.order = append(d.order, after.Key)
	}
	d.jobs[after.Key] = after
	if before != nil && before.Info.Group != after.Info.Group {
		d.roll(before.Info.Group, before, nil, nil)
		counted := before
		if before.Info.Group == "" {
			counted = nil // no group has its steps yet
		}
		d.roll(after.Info.Group, nil, after, counted)
		return
	}
	d.roll(after.Info.Group, before, after, before)
}

func (d *draft) retire(j *Job) {
	d.gone = append(d.gone, j)
	d.roll(j.Info.Group, j, nil, nil)
}

func (d *draft) roll(name string, before, after, counted *Job) {
	if name == "" {
		return
	}
	some := after
	if some == nil {
		some = before
	}
	k := GroupKey{some.Key.Source, name}
	g := d.groups[k]
	if g == nil {
		g = d.r.store.Group(k)
	}
	if g == nil {
		g = &Group{Key: k, Birth: some.Birth}
	}
	d.groups[k] = g.withJob(before, after, counted)
}

// count adds a reduction to the totals of its source, with the duplicates that idle polls read before.
func (d *draft) count(out Reduced, u Update) {
	source := u.Key.Source
	t := d.totals[source]
	if t == nil {
		t = d.r.store.Totals(source)
	}
	if t == nil {
		t = &Totals{Source: source, Birth: d.r.store.began}
	}
	waiting := d.r.idle[source]
	if _, taken := d.idle[source]; !taken {
		out.Tally.Read += waiting.Read
		out.Tally.Duplicate += waiting.Duplicate
		d.idle[source] = Tally{}
	}
	d.totals[source] = t.with(out.Tally, out.Job)
}

// wait keeps the duplicates that a poll without news read until there is something to commit.
func (d *draft) wait(source string, t Tally) {
	have, taken := d.idle[source]
	if !taken {
		have = d.r.idle[source]
	}
	have.Read += t.Read
	have.Duplicate += t.Duplicate
	d.idle[source] = have
}

func (d *draft) keepIdle() {
	for source, t := range d.idle {
		d.r.idle[source] = t
	}
}

func (d *draft) batch() *Batch {
	b := &Batch{Retire: d.gone, Spans: d.spans}
	for _, k := range d.order {
		b.Jobs = append(b.Jobs, d.jobs[k])
	}
	for _, g := range d.groups {
		b.Groups = append(b.Groups, g)
	}
	for _, t := range d.totals {
		b.Totals = append(b.Totals, t)
	}
	return b
}
