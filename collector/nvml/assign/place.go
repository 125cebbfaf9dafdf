package assign

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

const (
	// keepFor is how long a place that does not answer keeps what it said.
	keepFor = time.Minute
	// quiet is the time between two lines in the log about the same.
	quiet = time.Minute
	// maxBad bounds what is remembered of entries that could not be understood.
	maxBad = 1 << 16
)

// bad are entries that could not be understood: what stands for the entry, and what is wrong with it.
type bad map[string]string

func (b bad) add(entry, problem string) {
	if len(b) < maxBad {
		b[entry] = problem
	}
}

// place is one place with what it told last.
type place struct {
	name  string // the kind, label of the metrics
	where string
	looker
	log  *slog.Logger
	seed maphash.Seed

	mu      sync.Mutex
	running chan struct{} // closed when the look that is going on ends
	last    *found        // nil if nothing is known
	at      time.Time     // when last was found
	up      bool          // the latest look ended, and well

	down    string              // why the place cannot be read, as it was logged
	next    time.Time           // when that may be logged again
	seen    map[uint64]struct{} // bad entries of the latest look
	count   uint64              // bad entries since the start
	skipped int                 // of these, not in the log yet
	example string
	badNext time.Time
}

func newPlace(name, where string, l looker, log *slog.Logger, seed maphash.Seed) *place {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &place{name: name, where: where, looker: l, log: log.With("assignment", name), seed: seed}
}

// begin looks at the place, unless the look before goes on still. The channel is closed when the look ended.
func (p *place) begin(ctx context.Context, gpus []GPU, n *names) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = false
	if p.running != nil {
		return p.running
	}
	done := make(chan struct{})
	p.running = done
	go func() {
		f, err := p.look(ctx, gpus, n)
		p.end(f, err)
		close(done)
	}()
	return done
}

func (p *place) end(f *found, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running, p.up = nil, err == nil
	if f != nil {
		p.last, p.at = f, time.Now()
	}
	if !errors.Is(err, context.Canceled) {
		p.report(err)
	}
}

// report writes a line when a place goes away, for another reason or after another minute, and one when it is there again.
func (p *place) report(err error) {
	now := time.Now()
	switch {
	case err == nil && p.down != "":
		p.log.Info("the place that tells of jobs can be read again", "place", p.where)
		p.down = ""
	case err != nil && err.Error() != p.down && !now.Before(p.next):
		p.down, p.next = err.Error(), now.Add(quiet)
		p.log.Warn("a place that tells which job a GPU belongs to cannot be read", "place", p.where, "reason", p.down)
	}
}

// tell is what the place knows now. What it said is dropped after a minute without an answer.
func (p *place) tell(late bool) (f *found, up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if late && p.running != nil {
		p.report(errors.New("it does not answer"))
	}
	if p.last != nil && !p.up && time.Since(p.at) > keepFor {
		p.last = nil
	}
	return p.last, p.up
}

// judge counts the entries that are bad and were not when it was last called.
func (p *place) judge(now bad) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := make(map[uint64]struct{}, len(now))
	fresh := ""
	for entry, problem := range now {
		h := maphash.String(p.seed, entry)
		if _, old := p.seen[h]; !old {
			p.count++
			p.skipped++
			if fresh == "" || problem < fresh {
				fresh = problem
			}
		}
		seen[h] = struct{}{}
	}
	p.seen = seen
	if fresh != "" {
		p.example = fresh
	}
	if p.skipped > 0 && !time.Now().Before(p.badNext) {
		p.log.Warn("what tells which job a GPU belongs to was not understood", "place", p.where, "entries", p.skipped, "example", p.example)
		p.skipped, p.badNext = 0, time.Now().Add(quiet)
	}
	return p.count
}

// gather puts together what all places know.
func (a *Assigner) gather(n *names, late bool) Result {
	r := Result{Jobs: map[string][]collector.Key{}, Pods: map[string][]collector.Pod{}}
	told := make([]*found, len(a.places))
	wrong := make([]bad, len(a.places))
	ups := make([]bool, len(a.places))
	for i, p := range a.places {
		told[i], ups[i] = p.tell(late)
		wrong[i] = bad{}
		if told[i] == nil {
			told[i] = newFound()
		}
		for entry, problem := range told[i].bad {
			wrong[i].add(entry, problem)
		}
	}
	for id := range n.ids {
		a.unite(&r, id, told, wrong)
	}
	for i, p := range a.places {
		r.add(p.name, ups[i], p.judge(wrong[i]))
	}
	return r
}

// add counts a place. Directories are one source together: all of them must be there.
func (r *Result) add(name string, up bool, bad uint64) {
	i, ok := slices.BinarySearchFunc(r.Sources, name, func(s collector.AssignmentSource, name string) int {
		return strings.Compare(s.Name, name)
	})
	if !ok {
		r.Sources = slices.Insert(r.Sources, i, collector.AssignmentSource{Name: name, Up: true})
	}
	s := &r.Sources[i]
	s.Up = s.Up && up
	s.Bad += bad
}
