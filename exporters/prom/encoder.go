package prom

import (
	"io"
	"slices"
	"sync"

	"github.com/trainbridge/trainbridge/collector"
)

// encoder keeps what was rendered for the last answers. Text and OpenMetrics share it; protobuf has its own, made when
// first asked for.
type encoder struct {
	promoted []string

	mu     sync.Mutex // guards all below; never held while an answer is written
	tables [2]*tables
	packer *packer
}

type tables struct {
	syntax  syntax
	jobs    *table[collector.Job, *collector.Job]
	groups  *table[collector.Group, *collector.Group]
	sources *table[collector.SourceView, *collector.SourceView]
	gpus    *table[collector.GPU, *collector.GPU]
	hosts   *table[collector.GPUHost, *collector.GPUHost]
	dcgm    *table[collector.DCGMView, *collector.DCGMView]
}

func newTables(s syntax, promoted []string) *tables {
	return &tables{
		syntax:  s,
		jobs:    newTable(collector.JobRows(), collector.JobIdentity(), promoted, s),
		groups:  newTable(collector.GroupRows(), collector.GroupIdentity(), nil, s),
		sources: newTable(collector.SourceRows(), collector.SourceIdentity(), nil, s),
		gpus:    newTable(collector.GPURows(), collector.GPUIdentity(), nil, s),
		hosts:   newTable(collector.GPUHostRows(), nil, nil, s),
		dcgm:    newTable(collector.DCGMRows(), collector.DCGMIdentity(), nil, s),
	}
}

// of returns the tables for a format.
func (e *encoder) of(f Format) *tables {
	i, s := 0, syntax(textSyntax{})
	if f == Protobuf {
		i, s = 1, protoSyntax{}
	}
	if e.tables[i] == nil {
		e.tables[i] = newTables(s, e.promoted)
	}
	return e.tables[i]
}

// answer completes a, which has begun. The snapshot is taken under the lock, so that the cache only moves forward. It reports
// false if there is no snapshot.
func (e *encoder) answer(a *answer, snapshot func() *collector.Snapshot) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	snap := snapshot()
	if snap == nil {
		return false, nil
	}
	if a.gzip && e.packer == nil {
		p, err := newPacker()
		if err != nil {
			return true, err
		}
		e.packer = p
	}
	t := e.of(a.format)
	a.syntax = t.syntax
	if err := a.table(t.jobs.families, t.jobs.refresh(snap.Jobs), e.packer); err != nil {
		return true, err
	}
	if err := a.table(t.groups.families, t.groups.refresh(snap.Groups), e.packer); err != nil {
		return true, err
	}
	a.tail, a.list = t.sources.list(a.tail, a.list, snap.Sources, a.format)
	if g := snap.GPUs; g != nil {
		a.tail, a.list = t.hosts.list(a.tail, a.list, []*collector.GPUHost{g.Host}, a.format)
		a.tail, a.list = t.gpus.list(a.tail, a.list, g.GPUs, a.format)
		a.tail, a.list = t.dcgm.list(a.tail, a.list, g.DCGM, a.format)
	}
	a.tail = append(a.tail, a.self...)
	if a.format == OpenMetrics {
		a.tail = append(a.tail, "# EOF\n"...)
	}
	return true, a.finish(e.packer)
}

// Write writes a snapshot to a file or terminal, without the families of the bridge itself. The error is that of w.
func Write(w io.Writer, snap *collector.Snapshot, f Format) error {
	var a answer
	a.begin(f, false)
	if _, err := new(encoder).answer(&a, func() *collector.Snapshot { return snap }); err != nil {
		return err
	}
	return a.writeTo(w)
}

// JobLabels are the attribute keys of the info series that can be promoted to all series of a job.
func JobLabels() []string { return slices.Clone(collector.JobRows()[0].Labels) }

// names lists all families that come from the schema.
func (t *tables) names() map[string]bool {
	names := map[string]bool{}
	for _, fs := range [][]*family{
		t.jobs.families, t.groups.families, t.sources.families, t.gpus.families, t.hosts.families, t.dcgm.families,
	} {
		for _, f := range fs {
			names[f.name] = true
		}
	}
	return names
}
