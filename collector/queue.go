package collector

import "time"

// item is a job in the queue of its source, or with a worker.
type item struct {
	key   Key
	due   time.Time
	early time.Time // when it would be due if the budget were larger
	asked Time      // when it last answered, since the process began
	rate  float64   // polls per second that it adds to the demand
	fails int       // polls in a row that failed
	again bool      // there was news while a worker had it
	place int       // in the queue; -1 while a worker has it
}

// next is when the job can be asked: when it is due, or when budget is left over that nobody else needs.
func (it *item) next(p *purse, now time.Time) time.Time {
	spare, ok := p.full(now)
	if !ok || it.early.IsZero() || it.due.Before(it.early) {
		return it.due
	}
	if spare.Before(it.early) {
		spare = it.early
	}
	if it.due.Before(spare) {
		return it.due
	}
	return spare
}

// queue is a heap by due time, for container/heap.
type queue []*item

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

func (q *queue) Push(x any) {
	it := x.(*item)
	it.place = len(*q)
	*q = append(*q, it)
}

func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	last.place = -1
	*q = old[:len(old)-1]
	return last
}
