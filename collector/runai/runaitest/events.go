package runaitest

import (
	"slices"
	"time"
)

// events answers a list of events.
func (c *call) events(st *stream) reply {
	p, bad, ok := c.paging()
	if !ok {
		return bad
	}
	ascending, bad, ok := c.ascending(false)
	if !ok {
		return bad
	}
	if c.f.NoSortOrder || c.f.OldVersion {
		ascending = false
	}
	rows := st.sketch().rows
	at := func(i int) *row { return &rows[len(rows)-1-i] }
	if ascending {
		at = func(i int) *row { return &rows[i] }
	}
	n := len(rows)
	if c.f.UnsortedEvents || c.f.LateEvery > 0 {
		shown := c.shown(rows, st.seed, ascending)
		n, at = len(shown), func(i int) *row { return shown[i] }
	}
	return c.listing("events", p, n, func(i int) { c.event(at(i)) })
}

// shown is the events as faults show them.
func (c *call) shown(rows []row, seed uint64, ascending bool) []*row {
	var out []*row
	for i := range rows {
		if r := &rows[i]; !c.f.late(r, c.now) {
			out = append(out, r)
		}
	}
	if !ascending {
		slices.Reverse(out)
	}
	if c.f.UnsortedEvents {
		shuffle(out, seed, func(r *row) uint64 { return r.seq })
	}
	return out
}

// shuffle brings a list into an order that has nothing to do with time and is always the same.
func shuffle[T any](list []T, seed uint64, seq func(T) uint64) {
	slices.SortFunc(list, func(a, b T) int {
		x, y := mix(seed^seq(a)), mix(seed^seq(b))
		if x < y {
			return -1
		}
		return 1
	})
}

// event writes an event as the API shows it.
func (c *call) event(r *row) {
	e := &c.enc
	if r.null {
		e.b = append(e.b, "null"...)
		return
	}
	e.open()
	e.time("createdAt", r.CreatedAt)
	if !r.NoID {
		e.text("id", r.ID)
	}
	e.text("type", r.Type)
	e.text("clusterId", c.s.cluster.ID)
	if r.Reason != "" {
		e.text("reason", r.Reason)
	}
	if r.Source != "" {
		e.text("source", r.Source)
	}
	e.text("message", r.Message)
	if r.Kind != "" || r.Object != "" {
		e.key("involvedObject")
		e.open()
		e.text("uid", uuid(hashName(r.Kind), hashName(r.Object)))
		e.text("kind", r.Kind)
		e.text("name", r.Object)
		e.text("namespace", "runai")
		e.close()
	}
	if c.f.ExtraFields {
		e.raw("count", `3,"madeUp":{"nested":[null,true]}`)
	}
	e.close()
}

// record is one line of a history: an event or a phase.
type record struct {
	at    time.Time
	seq   uint64
	event *row
	phase *phaseRow
}

// history answers a list of records.
func (c *call) history(st *stream) reply {
	p, bad, ok := c.paging()
	if !ok {
		return bad
	}
	st = st.sketch()
	records := c.records(st)
	switch c.f.HistoryOrder {
	case NewestFirst:
		slices.Reverse(records)
	case Shuffled:
		shuffle(records, st.seed, func(r record) uint64 { return r.seq })
	}
	return c.listing("records", p, len(records), func(i int) { c.record(&records[i]) })
}

// records merges events and phases, oldest first.
func (c *call) records(st *stream) []record {
	out := make([]record, 0, len(st.rows)+len(st.phases))
	phases := st.phases
	for i := range st.rows {
		r := &st.rows[i]
		if r.NoHistory || c.f.late(r, c.now) {
			continue
		}
		for len(phases) > 0 && before(&phases[0], r) {
			out = append(out, record{phases[0].At, phases[0].seq, nil, &phases[0]})
			phases = phases[1:]
		}
		out = append(out, record{r.CreatedAt, r.seq, r, nil})
	}
	for i := range phases {
		out = append(out, record{phases[i].At, phases[i].seq, nil, &phases[i]})
	}
	return out
}

func before(p *phaseRow, r *row) bool {
	return p.At.Before(r.CreatedAt) || p.At.Equal(r.CreatedAt) && p.seq < r.seq
}

func (c *call) record(r *record) {
	e := &c.enc
	typ := "Event"
	if r.phase != nil {
		typ = "PhaseUpdate"
	}
	e.open()
	e.key("meta")
	e.open()
	e.time("creationTimestamp", r.at)
	e.text("type", typ)
	e.close()
	e.key("spec")
	e.open()
	switch {
	case r.phase != nil:
		e.raw("event", "null")
		e.key("phaseUpdate")
		e.open()
		e.text("phase", c.phaseOf(r.phase.Phase))
		e.text("phaseMessage", r.phase.Message)
		e.close()
	case r.event.null && r.seq%2 == 0:
		e.raw("phaseUpdate", "null") // a member of its own that is left out
	default:
		e.key("event")
		c.event(r.event)
		if c.f.NullValues {
			e.raw("phaseUpdate", "null")
		}
	}
	e.close()
	e.close()
}
