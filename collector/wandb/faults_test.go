package wandb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// pagingFaults are the ways to answer a cursor that a reading must survive with nothing lost and nothing doubled.
func pagingFaults() map[string]wandbtest.Faults {
	return map[string]wandbtest.Faults{
		"none":              {},
		"more always":       {HasMore: wandbtest.HasMoreAlways},
		"more never":        {HasMore: wandbtest.HasMoreNever},
		"more null":         {HasMore: wandbtest.HasMoreNull},
		"more missing":      {HasMore: wandbtest.HasMoreMissing},
		"no last id":        {EmptyLastID: true},
		"overlap 1":         {Overlap: 1},
		"overlap 30":        {Overlap: 30},
		"overlap 70":        {Overlap: 70, HasMore: wandbtest.HasMoreAlways},
		"extra fields":      {ExtraFields: true},
		"everything at one": {ExtraFields: true, Overlap: 3, EmptyLastID: true, HasMore: wandbtest.HasMoreNull},
		"cursor not found":  {LostCursor: wandbtest.CursorNotFound},
		"cursor refused":    {LostCursor: wandbtest.CursorUnprocessable},
		"cursor ignored":    {LostCursor: wandbtest.CursorIgnored},
		"cursor empty":      {LostCursor: wandbtest.CursorEmpty},
	}
}

func TestPagingFaults(t *testing.T) {
	for name, faults := range pagingFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			id := b.server.AddJob(wandbtest.Job{})
			b.server.SetFaults(faults)
			job := known(id)
			b.server.Append(id, wandbtest.Started(500))
			for round := range 12 {
				b.server.Append(id, steps(0, 1+round*round*3)...)
				job = b.drain(job)
				if round%3 == 2 {
					b.server.Prune(id, 50*round) // only what was read
				}
			}
			b.server.Append(id, wandbtest.Ended())
			for range 3 { // a service that never has more gives one page a poll
				job = b.drain(job)
			}
			b.same(job)
			if job.Phase != collector.Succeeded || job.Restarts != 0 {
				t.Errorf("phase %v, %d restarts", job.Phase, job.Restarts)
			}
		})
	}
}

// TestCursorLost has a service that forgets every cursor that it gave.
func TestCursorLost(t *testing.T) {
	for _, fault := range []wandbtest.CursorFault{wandbtest.CursorNotFound, wandbtest.CursorUnprocessable, wandbtest.CursorEmpty} {
		for _, n := range []int{15, 21, 65, 99, 150} {
			t.Run(fmt.Sprintf("%s %d", fault, n), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, nil)
				id := b.server.AddJob(wandbtest.Job{})
				b.server.Append(id, wandbtest.Started(500))
				b.server.Append(id, steps(0, n)...)
				job := b.drain(known(id))
				b.server.Append(id, steps(0, 5)...)
				if n > 90 { // then the list has several pages, which cannot be had without cursors
					b.server.Prune(id, 60)
				}
				b.server.SetFaults(wandbtest.Faults{Cursor: fault})
				job = b.drain(job)
				b.same(job)
				if job.Restarts != 0 {
					t.Error("a restart was seen")
				}
			})
		}
	}
}

// TestCursorIgnored has a service that always shows the start of the list.
func TestCursorIgnored(t *testing.T) {
	for _, n := range []int{15, 50, 99} {
		b := newBench(t, nil)
		id := b.server.AddJob(wandbtest.Job{})
		b.server.Append(id, wandbtest.Started(500))
		b.server.Append(id, steps(0, n-10)...)
		job := b.drain(known(id))
		b.server.SetFaults(wandbtest.Faults{Cursor: wandbtest.CursorIgnored})
		b.server.Append(id, steps(0, 10)...)
		job = b.drain(job)
		b.same(job)
	}
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, wandbtest.Started(500))
	b.server.Append(id, steps(0, 300)...)
	b.server.SetFaults(wandbtest.Faults{Cursor: wandbtest.CursorIgnored})
	job, u := b.poll(known(id))
	if job.Steps != 99 || len(u.Unknown) != 1 || u.Unknown[0] != "after" || u.More {
		t.Errorf("first poll: %d steps, unknown %q, more %v", job.Steps, u.Unknown, u.More)
	}
	if _, err := b.source.Follow(context.Background(), job); !errors.Is(err, errIgnored) {
		t.Errorf("second poll: %v", err)
	}
	b.server.SetFaults(wandbtest.Faults{})
	b.same(b.drain(job))
}

// TestCursorIgnoredLate has a long list that was read well before the service began to ignore cursors.
func TestCursorIgnoredLate(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, wandbtest.Started(500))
	b.server.Append(id, steps(0, 300)...)
	job := b.drain(known(id))
	b.server.SetFaults(wandbtest.Faults{Cursor: wandbtest.CursorIgnored})
	if _, err := b.source.Follow(context.Background(), job); !errors.Is(err, errIgnored) {
		t.Errorf("Follow: %v", err)
	}
	b.server.SetFaults(wandbtest.Faults{Cursor: wandbtest.CursorNotFound})
	if u, err := b.source.Follow(context.Background(), job); !errors.Is(err, errRefused) || u.NotFound {
		t.Errorf("Follow: not found %v, %v", u.NotFound, err)
	}
	b.server.SetFaults(wandbtest.Faults{})
	b.same(b.drain(job))
}

func TestGap(t *testing.T) {
	for _, fault := range []wandbtest.CursorFault{
		wandbtest.CursorNotFound, wandbtest.CursorUnprocessable, wandbtest.CursorIgnored, wandbtest.CursorEmpty,
	} {
		b := newBench(t, nil)
		id := b.server.AddJob(wandbtest.Job{})
		b.server.SetFaults(wandbtest.Faults{LostCursor: fault})
		b.server.Append(id, wandbtest.Started(500))
		b.server.Append(id, steps(0, 150)...)
		job := b.drain(known(id))
		b.server.Append(id, steps(0, 30)...)
		b.server.Prune(id, 161) // 10 of them are never seen
		next, u := b.poll(job)
		if !u.Gap || next.Steps != 170 {
			t.Errorf("%s: gap %v, %d steps", fault, u.Gap, next.Steps)
		}
		next, u = b.poll(next)
		if u.Gap || next.Steps != 170 {
			t.Errorf("%s: second poll: gap %v, %d steps", fault, u.Gap, next.Steps)
		}
		b.server.Prune(id, 1000)
		if next, u = b.poll(next); u.Gap || next.Steps != 170 {
			t.Errorf("%s: an empty list: gap %v, %d steps", fault, u.Gap, next.Steps)
		}
		b.server.Append(id, steps(0, 3)...)
		if next, u = b.poll(next); !u.Gap || next.Steps != 173 {
			t.Errorf("%s: after an empty list: gap %v, %d steps", fault, u.Gap, next.Steps)
		}
	}
}

// TestShortGap has a job with so few events that it has no bookmark.
func TestShortGap(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, steps(0, 5)...)
	job := b.drain(known(id))
	b.server.Append(id, steps(0, 5)...)
	b.server.Prune(id, 6)
	if next, u := b.poll(job); !u.Gap || next.Steps != 9 {
		t.Errorf("gap %v, %d steps", u.Gap, next.Steps)
	}
}

// TestLongSearch has a lost bookmark in a list that is longer than one call reads.
func TestLongSearch(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddBacklog(1, 12_000)[0]
	job := b.drain(known(id))
	b.server.Append(id, steps(0, 7)...)
	lost := *job
	lost.Cursor = "00000000-0000-4000-8000-00000000abcd"
	polls := 0
	next := &lost
	for more := true; more; polls++ {
		n, u := b.poll(next)
		next, more = n, u.More
	}
	if polls < 3 {
		t.Errorf("%d polls for 121 pages", polls)
	}
	b.same(next)
}

func TestLateEvents(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, wandbtest.Started(500))
	b.server.Append(id, steps(0, 150)...)
	job := b.drain(known(id))
	for back := range 20 {
		b.server.InsertLate(id, b.server.JobTruth(id).Listed-back, step(back))
		job = b.drain(job)
	}
	b.same(job)
}

// TestFaultsComeAndGo changes the way that the service misbehaves between polls.
func TestFaultsComeAndGo(t *testing.T) {
	paging := slices.Collect(maps.Values(pagingFaults()))
	paging = append(paging,
		wandbtest.Faults{Body: wandbtest.Garbage}, wandbtest.Faults{Body: wandbtest.HTML}, wandbtest.Faults{Body: wandbtest.Empty},
		wandbtest.Faults{Fail: wandbtest.ProxyError(2, 404)}, wandbtest.Faults{Fail: wandbtest.DetailList(1, 422, "after", "no such event")},
		wandbtest.Faults{Fail: wandbtest.DetailString(1, 404, "Event not found")}, wandbtest.Faults{Cursor: wandbtest.CursorNotFound},
		wandbtest.Faults{Cursor: wandbtest.CursorIgnored}, wandbtest.Faults{Cursor: wandbtest.CursorEmpty},
	)
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 3))
			b := newBench(t, nil)
			id := b.server.AddJob(wandbtest.Job{})
			b.server.Append(id, wandbtest.Started(5000))
			job := b.drain(known(id))
			for range 40 {
				b.server.Append(id, steps(0, rnd.IntN(1<<rnd.IntN(8)))...)
				b.server.InsertLate(id, b.server.JobTruth(id).Listed-rnd.IntN(10), step(0))
				b.server.SetFaults(paging[rnd.IntN(len(paging))])
				if u, err := b.source.Follow(t.Context(), job); err == nil {
					job = collector.Reduce(job, u, collector.ReduceOptions{}).Job
				}
				b.server.SetFaults(wandbtest.Faults{})
				job = b.drain(job)
			}
			b.same(job)
			if job.Restarts != 0 || job.Gone {
				t.Errorf("%d restarts, gone %v", job.Restarts, job.Gone)
			}
		})
	}
}

// TestStartedOver has a list whose first event was listed late, and a service that starts over: that the first event is known
// does not make the page one after the bookmark.
func TestStartedOver(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, wandbtest.Started(500))
	b.server.Append(id, steps(0, 150)...)
	job := b.drain(known(id))
	b.server.Prune(id, 1)
	b.server.InsertLate(id, 0, wandbtest.Event{ID: "late", Type: wandbtest.TypeStep})
	b.server.Append(id, wandbtest.Event{ID: "late", Type: wandbtest.TypeStep})
	job = b.drain(job)
	b.server.SetFaults(wandbtest.Faults{Cursor: wandbtest.CursorIgnored})
	if _, err := b.source.Follow(t.Context(), job); !errors.Is(err, errIgnored) {
		t.Errorf("Follow: %v", err)
	}
	b.server.SetFaults(wandbtest.Faults{})
	b.same(b.drain(job))
}

// TestRestarted has a job that starts again in the same list.
func TestRestarted(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, wandbtest.Started(50))
	b.server.Append(id, steps(0, 50)...)
	job := b.drain(known(id))
	b.server.Append(id, wandbtest.Started(60))
	b.server.Append(id, steps(0, 60)...)
	job = b.drain(job)
	b.same(job)
	if job.Restarts != 1 || job.Attempt != 2 {
		t.Errorf("%d restarts, attempt %d", job.Restarts, job.Attempt)
	}
}
