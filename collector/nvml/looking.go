package nvml

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/assign"
)

// looker tells which jobs GPUs belong to.
type looker interface {
	Look(ctx context.Context, gpus []assign.GPU) assign.Result
	Close() error
}

// looking is what goes to and from the goroutine that looks for the jobs of GPUs.
type looking struct {
	question *atomic.Pointer[question]
	changed  chan struct{}
	results  chan answer

	// Of the goroutine of Run.
	ids      []string // whose jobs were last asked for
	asked    uint64   // number of the last question
	answered uint64   // the number of the last that was answered
	awaited  uint64   // by Once
	result   assign.Result
}

type question struct {
	number uint64
	gpus   []assign.GPU
}

type answer struct {
	number uint64
	result assign.Result
}

func newLooking() looking {
	return looking{question: new(atomic.Pointer[question]), changed: make(chan struct{}, 1), results: make(chan answer)}
}

// lookSoon says which GPUs there are, and has their jobs looked for at once if that has changed.
func (m *Monitor) lookSoon(gpus []*collector.GPU) {
	if m.assigner == nil {
		return
	}
	m.looking.asked++
	m.looking.question.Store(&question{m.looking.asked, m.assignable(gpus)})
	ids := make([]string, len(gpus))
	for i, g := range gpus {
		ids[i] = g.ID
	}
	if slices.Equal(ids, m.looking.ids) {
		return
	}
	m.looking.ids = ids
	m.looking.now()
}

// now asks for the jobs at once.
func (l *looking) now() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// lookedSince asks once for the jobs of GPUs that were all read, and then reports whether the answer is there.
func (m *Monitor) lookedSince() bool {
	if m.assigner == nil {
		return true
	}
	if m.looking.awaited == 0 {
		m.looking.awaited = m.looking.asked
		m.looking.now()
	}
	return m.looking.answered >= m.looking.awaited
}

// startLooking starts the goroutine that looks for jobs. What hangs there delays nothing else.
func (m *Monitor) startLooking(ctx context.Context) (done chan struct{}) {
	done = make(chan struct{})
	if m.assigner == nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		m.look(ctx)
	}()
	return done
}

func (m *Monitor) look(ctx context.Context) {
	ticker := time.NewTicker(m.config.Assignments.Every())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.looking.changed:
		case <-ticker.C:
		}
		q := m.looking.question.Load()
		if q == nil {
			continue
		}
		r := m.assigner.Look(ctx, q.gpus)
		select {
		case m.looking.results <- answer{q.number, r}:
		case <-ctx.Done():
			return
		}
	}
}

// stopLooking ends the use of the assigner. One that hangs is left behind.
func (m *Monitor) stopLooking(done chan struct{}) {
	select {
	case <-done:
	case <-time.After(300 * time.Millisecond):
	}
	if err := m.close(); err != nil {
		m.env.Log.Debug("end the use of what tells the jobs of GPUs", "err", err)
	}
}
