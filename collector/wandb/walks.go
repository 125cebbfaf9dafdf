package wandb

import (
	"sync"

	"github.com/trainbridge/trainbridge/collector"
)

// maxWalks bounds the searches and counts that wait to be gone on with. They hold nothing that cannot be found again.
const maxWalks = 256

// walks keeps what one call of Follow leaves to the next. The zero value is empty; it is safe for concurrent use.
type walks struct {
	mu       sync.Mutex
	searches map[collector.Key]*search
	counts   map[collector.Key]*census
}

// search takes out the search that belongs to a job, nil if there is none.
func (w *walks) search(job *collector.Job) *search {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.searches[job.Key]
	delete(w.searches, job.Key)
	if s == nil || s.origin != job.Cursor {
		return nil
	}
	return s
}

func (w *walks) keep(job *collector.Job, s *search) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.searches = bounded(w.searches)
	w.searches[job.Key] = s
}

// census takes out the count of a job, a new one if there is none.
func (w *walks) census(job *collector.Job) *census {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.counts[job.Key]
	delete(w.counts, job.Key)
	if c == nil {
		c = &census{ids: map[string]bool{}}
	}
	return c
}

func (w *walks) keepCensus(job *collector.Job, c *census) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts = bounded(w.counts)
	w.counts[job.Key] = c
}

// bounded makes room for one more.
func bounded[T any](m map[collector.Key]T) map[collector.Key]T {
	if m == nil {
		return map[collector.Key]T{}
	}
	for key := range m {
		if len(m) < maxWalks {
			break
		}
		delete(m, key)
	}
	return m
}
