package wandb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// fakeList is a service's list of events in memory.
type fakeList struct {
	ids   []string
	made  int
	limit int // of a page
	lost  string
	more  hasMore // instead of the truth; moreUnsaid is left out, moreYes is the truth
}

func (l *fakeList) insert(at int) {
	l.made++
	l.ids = slices.Insert(l.ids, at, "e"+strconv.Itoa(l.made))
}

// fetch answers as a service would.
func (l *fakeList) fetch(_ context.Context, after string) (*page, error) {
	from := 0
	if after != "" {
		i := slices.Index(l.ids, after)
		switch {
		case i >= 0:
			from = i + 1
		case l.lost == "refused":
			return nil, &api.Error{Status: 404, Detail: "Event not found"}
		case l.lost == "empty":
			from = len(l.ids)
		}
	}
	to := min(from+l.limit, len(l.ids))
	p := &page{more: moreNo}
	if to < len(l.ids) {
		p.more = moreYes
	}
	if l.more != moreYes {
		p.more = l.more
	}
	for _, id := range l.ids[from:to] {
		p.items = append(p.items, item{id: id, event: collector.Event{Type: collector.StepEvent}})
	}
	return p, nil
}

// follower is one way to read a list; it returns how many events were counted in the end.
type follower interface {
	poll(t *testing.T)
	restart()
	counted() int
	gaps() int
}

// schedule lets a list and a follower run into each other. Late events appear up to late places before the newest. Only what was
// visible at a poll is pruned. The result is the number of events there were.
func schedule(t *testing.T, rnd *rand.Rand, l *fakeList, f follower, late int) int {
	for range 40 {
		switch n := rnd.IntN(10); {
		case n < 5:
			for range rnd.IntN(1 << rnd.IntN(9)) {
				l.insert(len(l.ids))
			}
		case n < 7 && late > 0:
			l.insert(len(l.ids) - min(len(l.ids), rnd.IntN(late)))
		case n < 8:
			f.poll(t) // everything was seen: the oldest may go
			l.ids = l.ids[rnd.IntN(len(l.ids)+1):]
		case n < 9:
			f.restart()
		}
		f.poll(t)
	}
	f.poll(t)
	return l.made
}

// ours follows with the source's own code and folds with Reduce.
type ours struct {
	source  *Source
	list    *fakeList
	job     *collector.Job
	skipped int // gaps
}

func newOurs(l *fakeList) *ours {
	return &ours{source: &Source{grace: time.Minute}, list: l, job: known("job")}
}

func (o *ours) poll(t *testing.T) {
	for range 10_000 {
		r := &reader{job: o.job, fetch: o.list.fetch}
		p, err := o.source.resume(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		u := collector.Update{Key: o.job.Key, At: o.job.FirstSeen, Polled: true, More: p == nil}
		if p != nil {
			if err := r.report(p, &u); err != nil {
				t.Fatal(err)
			}
		}
		if u.Gap {
			o.skipped++
		}
		o.job = collector.Reduce(o.job, u, collector.ReduceOptions{}).Job
		if !u.More {
			return
		}
	}
	t.Fatal("no end of more")
}

// restart forgets what is not in the job.
func (o *ours) restart()     { o.source = &Source{grace: time.Minute} }
func (o *ours) counted() int { return int(o.job.Steps) }
func (o *ours) gaps() int    { return o.skipped }

// TestSchedules lets lists grow, get late events and lose old ones in random order. Nothing that was visible for a poll
// may be lost or counted twice.
func TestSchedules(t *testing.T) {
	for _, lost := range []string{"refused", "empty", "start"} {
		for _, more := range []hasMore{moreYes, moreUnsaid, moreNo} {
			t.Run(fmt.Sprint(lost, more), func(t *testing.T) {
				t.Parallel()
				for seed := range uint64(100) {
					rnd := rand.New(rand.NewPCG(seed, 7))
					l := &fakeList{limit: []int{100, 100, 20, 7}[rnd.IntN(4)], lost: lost, more: more}
					if more == moreNo {
						l.limit = pageLimit // a service that never has more is believed on short pages
					}
					f := newOurs(l)
					if happened := schedule(t, rnd, l, f, 20); f.counted() != happened {
						t.Fatalf("seed %d, pages of %d: %d counted, %d happened", seed, l.limit, f.counted(), happened)
					}
				}
			})
		}
	}
}

// strict is the tempting way: ask after the newest event that was counted.
type strict struct {
	list *fakeList
	last string
	seen map[string]bool
	n    int
}

func (s *strict) poll(*testing.T) {
	for {
		p, err := s.list.fetch(context.Background(), s.last)
		if err != nil || len(p.items) == 0 {
			return
		}
		for _, e := range p.items {
			if !s.seen[e.id] {
				s.seen[e.id] = true
				s.n++
			}
			s.last = e.id
		}
	}
}
func (s *strict) restart()     {}
func (s *strict) counted() int { return s.n }
func (s *strict) gaps() int    { return 0 }

// counting is another tempting way: no ids, read from the start and take what is beyond the number read before.
type counting struct {
	list *fakeList
	n    int
}

func (c *counting) poll(*testing.T) { c.n = max(c.n, len(c.list.ids)) }
func (c *counting) restart()        {}
func (c *counting) counted() int    { return c.n }
func (c *counting) gaps() int       { return 0 }

// TestTemptingWaysFail shows that the schedules of TestSchedules tell right from wrong.
func TestTemptingWaysFail(t *testing.T) {
	wrong := map[string]func(*fakeList) follower{
		"strict cursor":    func(l *fakeList) follower { return &strict{list: l, seen: map[string]bool{}} },
		"number of events": func(l *fakeList) follower { return &counting{list: l} },
	}
	for name, f := range wrong {
		red := 0
		for seed := range uint64(100) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			l := &fakeList{limit: 100, lost: "start", more: moreYes}
			follower := f(l)
			if schedule(t, rnd, l, follower, 20) != follower.counted() {
				red++
			}
		}
		if red < 90 {
			t.Errorf("%s: only %d of 100 schedules found it wrong", name, red)
		}
	}
}
