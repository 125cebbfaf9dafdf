package tensorone

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// maxWindow is how many checkpoints of a job are remembered: as many as the core keeps at most. Old ones may stay in the list
// for ever, such as the best one, however many come after them.
const maxWindow = 4096

// checkpoint is one element of a list. Its download address is never read.
type checkpoint struct {
	id                string
	created           collector.Time
	epoch, step, size amount
}

// amount is a number that may be missing.
type amount struct {
	value float64
	ok    bool
}

// checkpoints reads a list.
func (rd *reader) checkpoints(d *api.Decoder) error {
	r := rd.r
	if d.Kind() != api.Array {
		if d.Kind() != api.Null {
			rd.strange("checkpoints")
		}
		return d.Skip()
	}
	r.checkpoints, r.bad, r.listed = nil, nil, true
	return d.Array(func(int) error {
		if d.Kind() == api.Object {
			return rd.checkpoint(d)
		}
		v, err := d.Value()
		if err == nil {
			rd.setAside(v.Kind.String() + clip(string(v.Raw), maxAmountText))
		}
		return err
	})
}

// setAside counts an element that cannot be told from others but by what it looks like.
func (rd *reader) setAside(looks string) {
	rd.r.bad = append(rd.r.bad, collector.Event{ID: "bad checkpoint: " + looks, Type: collector.CheckpointEvent, Bad: true})
}

func (rd *reader) checkpoint(d *api.Decoder) error {
	var c checkpoint
	var keys []string
	err := d.Object(func(key string) (err error) {
		keys = append(keys, key)
		switch field := "checkpoints." + key; key {
		case "checkpointId", "id":
			err = rd.text(d, field, &c.id, maxText)
		case "epoch":
			c.epoch.value, c.epoch.ok, err = rd.amount(d, field)
		case "step":
			c.step.value, c.step.ok, err = rd.amount(d, field)
		case "size":
			err = rd.checkpointSize(d, field, &c.size)
		case "createdAt":
			v, failed := d.Value()
			at, ok, nothing := parseTime(v)
			if c.created = at; failed == nil && !ok && !nothing {
				rd.strange(field)
			}
			err = failed
		}
		return err
	})
	if err != nil {
		return err
	}
	if c.id == "" && !c.created.Known() && !c.step.ok {
		slices.Sort(keys)
		rd.setAside(clip(strings.Join(keys, ","), maxText))
		return nil
	}
	if c.id == "" {
		rd.strange("checkpoints.checkpointId")
		c.id = "at " + strconv.FormatInt(int64(c.created), 10) + " step " + strconv.FormatFloat(c.step.value, 'g', -1, 64) +
			" epoch " + strconv.FormatFloat(c.epoch.value, 'g', -1, 64)
	}
	rd.r.checkpoints = append(rd.r.checkpoints, c)
	return nil
}

func (rd *reader) checkpointSize(d *api.Decoder, field string, to *amount) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	f, ok, nothing := rd.bytesOf(v, rd.units.CheckpointSize)
	if !ok && !nothing {
		rd.strange(field)
	}
	*to = amount{f, ok}
	return nil
}

// inOrder sorts checkpoints, oldest first, by time where all have one, else by step where all have one; else they stay as the provider lists
// them. One that is listed twice is left once.
func inOrder(list []checkpoint) []checkpoint {
	seen := make(map[string]bool, len(list))
	out := make([]checkpoint, 0, len(list))
	timed, stepped := true, true
	for _, c := range list {
		if seen[c.id] {
			continue
		}
		seen[c.id] = true
		out = append(out, c)
		timed, stepped = timed && c.created.Known(), stepped && c.step.ok
	}
	if timed || stepped {
		slices.SortStableFunc(out, func(a, b checkpoint) int {
			if timed && a.created != b.created {
				return cmp.Compare(a.created, b.created)
			}
			return cmp.Or(cmp.Compare(a.step.value, b.step.value), cmp.Compare(a.id, b.id))
		})
	}
	return out
}

// readings are what a checkpoint says of the newest one.
func (c *checkpoint) readings() []collector.Reading {
	var out []collector.Reading
	for _, r := range []struct {
		metric collector.Metric
		amount
	}{
		{collector.CheckpointLastStep, c.step}, {collector.CheckpointLastSize, c.size},
		{collector.CheckpointLastCreated, amount{c.created.Seconds(), c.created.Known()}},
	} {
		if r.ok {
			out = append(out, collector.Reading{Metric: r.metric, Value: r.value})
		}
	}
	return out
}

func (c *checkpoint) event() collector.Event {
	e := collector.Event{ID: c.id, Type: collector.CheckpointEvent, At: c.created, Readings: c.readings()}
	if c.epoch.ok {
		e.Readings = append(e.Readings, collector.Reading{Metric: collector.Epoch, Value: c.epoch.value})
	}
	return e
}

// tellCheckpoints puts a list into an update. total is how many there are, where the service says so.
func tellCheckpoints(job *collector.Job, r *report, total amount, u *collector.Update) {
	if !r.listed {
		return
	}
	list := inOrder(r.checkpoints)
	newest, known := job.Reading(collector.CheckpointLastCreated, "")
	full := len(job.Window) >= maxWindow
	for i := range list {
		c := &list[i]
		forgotten := full && !job.Knows(c.id) && !(known && c.created.Seconds() > newest)
		if !forgotten {
			u.Events = append(u.Events, c.event())
		}
	}
	u.Events = append(u.Events, r.bad...)
	u.Window = maxWindow
	if !total.ok {
		total.value = float64(len(list))
	}
	u.Readings = append(u.Readings, collector.Reading{Metric: collector.CheckpointAvailable, Value: total.value})
	if last := len(list) - 1; last >= 0 && list[last].created.Known() && !(known && list[last].created.Seconds() < newest) {
		u.Readings = append(u.Readings, list[last].readings()...) // its size may have come later
	}
	if seconds, ok := medianInterval(list); ok {
		u.Readings = append(u.Readings, collector.Reading{Metric: collector.CheckpointInterval, Value: seconds})
	}
}

// maxIntervals bounds the intervals that the median is taken of, to the newest.
const maxIntervals = 31

// medianInterval is the median time in seconds between checkpoints that follow each other. Deleted ones make intervals longer than they were.
func medianInterval(list []checkpoint) (float64, bool) {
	var gaps []float64
	for i := len(list) - 1; i > 0 && len(gaps) < maxIntervals; i-- {
		if a, b := list[i-1].created, list[i].created; a.Known() && b > a {
			gaps = append(gaps, b.Sub(a).Seconds())
		}
	}
	if len(gaps) == 0 {
		return 0, false
	}
	slices.Sort(gaps)
	middle := len(gaps) / 2
	if len(gaps)%2 == 0 {
		return (gaps[middle-1] + gaps[middle]) / 2, true
	}
	return gaps[middle], true
}
