package otlp

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/trainbridge/trainbridge/collector"
)

// A push only says what is, so a receiver goes on showing the last value of a series that is no more: Prometheus for five
// minutes. OTLP has a flag for "no value any more", which Prometheus stores as the end of the series. Every push therefore
// ends the series that the last successful one had and that are gone: of jobs that ended or left, and values withdrawn.

// noRecordedValue is the flag of such a point: DATA_POINT_FLAGS_NO_RECORDED_VALUE.
const noRecordedValue = 1

// The flags of the two kinds of points.
const (
	numberFlags    protowire.Number = 8
	histogramFlags protowire.Number = 10
)

// withdraw adds points that end the series which were in before and are not in now. Its cost grows with what changed between
// the two, because blocks that did not change are the same.
func (e *encoder) withdraw(before, now *collector.Snapshot) error {
	if before == nil {
		return nil
	}
	if err := withdrawTable(e, &e.jobs, before.Jobs, now.Jobs); err != nil {
		return err
	}
	if err := withdrawTable(e, &e.groups, before.Groups, now.Groups); err != nil {
		return err
	}
	if err := withdrawList(e, &e.sources, before.Sources, now.Sources); err != nil {
		return err
	}
	return e.withdrawGPUs(before.GPUs, now.GPUs)
}

func (e *encoder) withdrawGPUs(before, now *collector.GPUView) error {
	if before == nil || before == now {
		return nil
	}
	if now == nil {
		now = &collector.GPUView{}
	}
	if err := withdrawEntity(e, &e.hosts, before.Host, now.Host, now.Host != nil); err != nil {
		return err
	}
	if err := withdrawList(e, &e.gpus, before.GPUs, now.GPUs); err != nil {
		return err
	}
	return withdrawList(e, &e.dcgm, before.DCGM, now.DCGM)
}

func withdrawList[T collector.Entity](e *encoder, t *table[T], before, now []T) error {
	next := make(map[string]T, len(now))
	for _, item := range now {
		next[identity(item)] = item
	}
	for _, item := range before {
		after, known := next[identity(item)]
		if err := withdrawEntity(e, t, item, after, known); err != nil {
			return err
		}
	}
	return nil
}

type entity[T any] interface {
	*T
	collector.Entity
}

func withdrawTable[T any, P entity[T]](e *encoder, t *table[P], before, now collector.Table[T]) error {
	next := map[string]P{}
	for item := range changed(now, before) {
		next[identity(P(item))] = item
	}
	for item := range changed(before, now) {
		after, known := next[identity(P(item))]
		if known && after == P(item) {
			continue
		}
		if err := withdrawEntity(e, t, P(item), after, known); err != nil {
			return err
		}
	}
	return nil
}

// changed calls yield for the entries in those blocks of t that o does not have.
func changed[T any](t, o collector.Table[T]) func(yield func(*T) bool) {
	same := make(map[*collector.Block[T]]bool, len(o.Blocks))
	for _, b := range o.Blocks {
		same[b] = true
	}
	return func(yield func(*T) bool) {
		for _, b := range t.Blocks {
			if same[b] {
				continue
			}
			for _, item := range b.Items {
				if item != nil && !yield(item) {
					return
				}
			}
		}
	}
}

func identity(item collector.Entity) string { return strings.Join(item.Identity(nil), "\x00") }

// withdrawEntity ends the series of before that after, if it is known, does not have.
func withdrawEntity[T collector.Entity](e *encoder, t *table[T], before, after T, known bool) error {
	moved := known && t.promote != nil && promotedText(e, t, before) != promotedText(e, t, after)
	e.identify(t.identity, before.Identity(e.values[:0]))
	bare := len(e.ids.number)
	bareHistogram := len(e.ids.histogram)
	if t.promote != nil {
		t.promote(e, before)
	}
	for i := range t.rows {
		p := t.parts[i]
		e.gone.Reset()
		t.rows[i].Read(before, &e.gone)
		e.read.Reset()
		if known && (!moved || p.bare) {
			t.rows[i].Read(after, &e.read)
		}
		id := e.ids
		if p.bare {
			id = ids{id.number[:bare], id.histogram[:bareHistogram]}
		}
		if err := e.end(p, id); err != nil {
			return err
		}
	}
	return nil
}

// promotedText is the part of the identity that promoted labels make, as text to compare.
func promotedText[T collector.Entity](e *encoder, t *table[T], item T) string {
	e.identify(t.identity, item.Identity(e.values[:0]))
	bare := len(e.ids.number)
	t.promote(e, item)
	return string(e.ids.number[bare:])
}

// end adds points without a value for what is in e.gone and not in e.read. Points stand in the same order in both where
// nothing left, which is nearly always.
func (e *encoder) end(p *part, id ids) error {
	if e.gone.Len() == e.read.Len() && p.sameLabels(&e.gone, &e.read) {
		return nil
	}
	for i := range e.gone.Len() {
		labels := e.gone.Labels(i)
		if e.has(labels) {
			continue
		}
		e.point = p.endPoint(e.point[:0], id, labels, e.now)
		if err := e.makeRoom(p, sizeBytes(len(e.point))); err != nil {
			return err
		}
		p.points = appendMessage(p.points, 1, e.point)
	}
	return nil
}

func (p *part) sameLabels(a, b *collector.Points) bool {
	if len(p.labels) == 0 {
		return true
	}
	for i := range a.Len() {
		if !slices.Equal(a.Labels(i), b.Labels(i)) {
			return false
		}
	}
	return true
}

func (e *encoder) has(labels []string) bool {
	for i := range e.read.Len() {
		if slices.Equal(e.read.Labels(i), labels) {
			return true
		}
	}
	return false
}

// endPoint appends a point that says that there is no value any more.
func (p *part) endPoint(b []byte, id ids, labels []string, now uint64) []byte {
	values := make([]string, len(labels))
	for i, l := range labels {
		values[i] = valid(l)
	}
	b = p.appendTimes(b, 0, now)
	if p.kind == collector.Distribution {
		b = append(b, id.histogram...)
		b = p.appendLabels(b, histogramAttributes, values)
		return appendNumber(b, histogramFlags, noRecordedValue)
	}
	b = append(b, id.number...)
	b = p.appendLabels(b, numberAttributes, values)
	return appendNumber(b, numberFlags, noRecordedValue)
}
