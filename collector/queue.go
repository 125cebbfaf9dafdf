package collector

import "time"

// item is a job in the queue of its source, or with a worker.
type item struct {
	key   Key
	due   time.Time
	asked Time    // when it last answered, since the process began
	rate  float64 // polls per second that it adds to the demand
	fails int     // polls in a row that failed
}

// queue is a heap by due time, for container/heap.
type queue []*item

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

func (q *queue) Push(x any) { *q = append(*q, x.(*item)) }

func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}
