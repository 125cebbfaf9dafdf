package program

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/exporters/prom"
)

// runner is a source at work.
type runner struct {
	*sourceSettings
	source collector.Source
	health *collector.Health
	proxy  proxy        // nil without a pass-through
	before uint64       // failures of the pass-throughs that this one replaced
	probe  http.Handler // the metrics of this source alone
	polls  *task        // nil before it starts
}

// newRunner makes a source. before is the runner that it will replace, or nil.
func (b *bridge) newRunner(s *sourceSettings, before *runner) (*runner, error) {
	r := &runner{sourceSettings: s, health: collector.NewHealth(time.Now())}
	if before != nil && before.Kind == s.Kind {
		r.health = before.health
	}
	r.before = before.unregistered()
	log := limited(b.log.With("source", s.Name))
	src, err := s.kind.open(s.config, collector.Env{Name: s.Name, Log: log, Health: r.health, Dial: b.own.dial})
	if err != nil {
		return nil, s.problem(err)
	}
	r.source = src
	r.proxy = s.kind.proxy(s.config, src, b.registerVia("proxy"), log)
	if p, ok := r.proxy.(remembering); ok {
		remind(p, b.store, s.Name)
	}
	r.probe = prom.New(prom.Options{
		Snapshot:    func() *collector.Snapshot { return only(b.snapshot(), s.Name) },
		MaxRequests: 2, Log: b.log,
	})
	return r, nil
}

// remembering is a pass-through that can be told what jobs were learned before, so that the next job of a trainer that is at
// work belongs where the others do.
type remembering interface{ Known(collector.Info) }

// remind tells a pass-through who the groups and jobs of its source are, those with the latest news last.
func remind(p remembering, store *collector.Store, source string) {
	groups := store.GroupsOf(source)
	slices.SortFunc(groups, func(a, b *collector.Group) int { return cmp.Compare(a.Updated, b.Updated) })
	for _, g := range groups {
		p.Known(g.Info)
	}
	jobs := store.JobsOf(source)
	slices.SortFunc(jobs, func(a, b *collector.Job) int { return cmp.Compare(a.Updated, b.Updated) })
	for _, j := range jobs {
		p.Known(*j.Info)
	}
}

// advice is what will keep the source from being of use, in the words of its kind.
func (r *runner) advice() []string {
	if a, ok := r.source.(interface{ Advice() []string }); ok {
		return a.Advice()
	}
	return nil
}

// start begins to poll.
func (r *runner) start(b *bridge) {
	b.store.SetHealth(r.Name, r.health)
	for _, line := range r.advice() {
		b.log.Warn("a source may not work as configured", "source", r.Name, "why", line)
	}
	s := collector.NewScheduler(r.Name, r.source, b.recorder, b.store, r.health, b.log)
	r.polls = start(s.Run)
}

// stop ends polling and lets go of connections.
func (r *runner) stop(ctx context.Context) error {
	return errors.Join(r.polls.stop(ctx), r.close())
}

func (r *runner) close() error {
	if c, ok := r.source.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// unregistered is how many jobs were seen by pass-throughs of this source and could not be registered.
func (r *runner) unregistered() uint64 {
	switch {
	case r == nil:
		return 0
	case r.proxy == nil:
		return r.before
	}
	return r.before + r.proxy.Failures()
}

// takes reports whether jobs can be registered with the source: it must be able to ask for one that it did not find itself.
func (r *runner) takes() bool {
	_, ok := r.source.(collector.Follower)
	return ok
}

// only is the part of a snapshot that one source has. Blocks that are the source's own stay the same, so that what was rendered
// of them can be used again.
func only(snap *collector.Snapshot, name string) *collector.Snapshot {
	if snap == nil {
		return nil
	}
	part := &collector.Snapshot{
		Jobs:   filter(snap.Jobs, func(j *collector.Job) bool { return j.Key.Source == name }),
		Groups: filter(snap.Groups, func(g *collector.Group) bool { return g.Key.Source == name }),
	}
	for _, s := range snap.Sources {
		if s.Name == name {
			part.Sources = append(part.Sources, s)
		}
	}
	return part
}

func filter[T any](t collector.Table[T], keep func(*T) bool) collector.Table[T] {
	var out collector.Table[T]
	for _, b := range t.Blocks {
		kept := &collector.Block[T]{}
		for i, item := range b.Items {
			if item != nil && keep(item) {
				kept.Items[i] = item
				kept.Used++
			}
		}
		switch kept.Used {
		case 0:
		case b.Used:
			out.Blocks = append(out.Blocks, b)
		default:
			out.Blocks = append(out.Blocks, kept)
		}
	}
	return out
}
