package otlp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Outbox is the durable queue of encoded spans.
type Outbox interface {
	// Peek returns the oldest rows in order: at most maxRows, and at most maxBytes together unless the first alone is
	// larger. It returns no rows if none wait.
	Peek(ctx context.Context, maxRows, maxBytes int) ([]OutboxRow, error)
	// Remove deletes rows that were delivered. Unknown numbers are ignored.
	Remove(ctx context.Context, seqs []uint64) error
	// Wake receives after rows were added.
	Wake() <-chan struct{}
}

// OutboxRow is one span as [EncodeSpan] made it.
type OutboxRow struct {
	Seq  uint64
	Span []byte
}

const (
	unclearLimit = 5                // answers in a row that blame nobody before the batch is searched for a culprit
	maxSuspects  = 8                // spans refused alone before anything else was accepted
	vainSearch   = 8                // rounds between two searches while the receiver refuses everything
	idleCheck    = 30 * time.Second // the outbox is looked at even if no one wakes us
)

// drainer sends the spans of an outbox. A row is removed only after the receiver has accepted it, or has refused it while
// accepting something else.
type drainer struct {
	box    Outbox
	to     client
	frame  frame
	report *reporter
	wait   backoff

	mu        sync.Mutex // held during a round
	delivered []uint64   // rows that still stand in the outbox although the receiver has them
	unclear   int        // rounds in a row that ended unclear
	vain      int        // rounds in a row in which the receiver refused everything
	body      []byte
}

func newDrainer(box Outbox, to client, f frame, r *reporter) *drainer {
	return &drainer{box: box, to: to, frame: f, report: r, wait: backoff{first: time.Second, most: time.Minute}}
}

// run sends until ctx ends, and then what is left as long as the receiver takes it and hard lasts.
func (d *drainer) run(ctx, hard context.Context) {
	for ctx.Err() == nil {
		a, n := d.round(hard)
		switch {
		case !a.taken():
			sleep(ctx, d.wait.next(a.after))
		case n == 0:
			d.idle(ctx)
		default:
			d.wait.reset()
		}
	}
	_ = d.flush(hard)
}

// idle waits for news.
func (d *drainer) idle(ctx context.Context) {
	t := time.NewTimer(idleCheck)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-d.box.Wake():
	case <-t.C:
	}
}

// flush sends until the outbox is empty or the receiver does not take something.
func (d *drainer) flush(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("send spans: %w", err)
		}
		a, n := d.round(ctx)
		if !a.taken() {
			return fmt.Errorf("send spans: %s", a.why)
		}
		if n == 0 {
			return nil
		}
	}
}

// round sends the oldest batch and returns how many rows it dealt with. An answer that is not taken means: wait.
func (d *drainer) round(ctx context.Context) (answer, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.settle(ctx); err != nil {
		return d.outboxFailed(err), 0
	}
	rows, err := d.box.Peek(ctx, maxSpans, maxBody-d.frame.size()-maxSpans*8)
	if err != nil {
		return d.outboxFailed(err), 0
	}
	if len(rows) == 0 {
		return answer{}, 0
	}
	a := d.search(ctx, rows)
	if err := d.settle(ctx); err != nil && a.taken() {
		a = d.outboxFailed(err)
	}
	return a, len(rows)
}

func (d *drainer) search(ctx context.Context, rows []OutboxRow) answer {
	s := search{d: d, deep: d.unclear >= unclearLimit, brief: d.vain%vainSearch != 0}
	a := s.deliver(ctx, rows)
	if a.taken() {
		a = s.verdict(ctx)
	}
	d.unclear++
	if a.verdict != unclear {
		d.unclear = 0
	}
	d.vain++
	if !s.vain {
		d.vain = 0
	}
	return a
}

// outboxFailed is logged by whoever keeps the outbox; here it is only a reason to wait.
func (d *drainer) outboxFailed(err error) answer {
	return answer{verdict: retry, why: "outbox: " + collector.Clean(err.Error())}
}

// settle removes what was delivered. What cannot be removed is remembered, so that it is not sent again.
func (d *drainer) settle(ctx context.Context) error {
	if len(d.delivered) == 0 {
		return nil
	}
	if err := d.box.Remove(context.WithoutCancel(ctx), d.delivered); err != nil {
		return err
	}
	d.delivered = d.delivered[:0]
	return nil
}

func (d *drainer) send(ctx context.Context, rows []OutboxRow) answer {
	d.body = d.frame.appendSpans(d.body[:0], rows)
	a := d.to.send(ctx, d.body)
	d.report.request(a, len(rows))
	return a
}

// search delivers one batch, halving it where the receiver refuses the content.
type search struct {
	d        *drainer
	deep     bool // unclear answers count as refusals
	brief    bool // ask whether the receiver accepts anything before searching
	vain     bool // it does not
	proven   bool // the receiver accepted something: what it refuses is at fault itself
	suspects []suspect
}

type suspect struct {
	seq uint64
	why answer
}

// deliver returns a taken answer if all rows were accepted or are suspects.
func (s *search) deliver(ctx context.Context, rows []OutboxRow) answer {
	a := s.d.send(ctx, rows)
	switch {
	case a.taken():
		s.proven = true
		for _, r := range rows {
			s.d.delivered = append(s.d.delivered, r.Seq)
		}
		return a
	case !s.blames(a):
		return a
	case s.brief && !s.prove(ctx):
		return s.acquit(a)
	case len(rows) == 1:
		return s.suspect(ctx, rows[0], a)
	}
	half := len(rows) / 2
	if a := s.deliver(ctx, rows[:half]); !a.taken() {
		return a
	}
	return s.deliver(ctx, rows[half:])
}

// blames reports whether a smaller batch may fare better.
func (s *search) blames(a answer) bool {
	return a.verdict == rejected || a.verdict == tooLarge || a.verdict == unclear && s.deep
}

// suspect notes a row that was refused alone. When there are many and nothing was accepted, the endpoint itself is tried.
func (s *search) suspect(ctx context.Context, r OutboxRow, a answer) answer {
	s.suspects = append(s.suspects, suspect{r.Seq, a})
	if len(s.suspects) == maxSuspects && !s.prove(ctx) {
		return s.acquit(a)
	}
	return answer{}
}

// prove reports whether the receiver accepts anything at all; if nothing else went through, an empty request.
func (s *search) prove(ctx context.Context) bool {
	if !s.proven {
		s.proven = s.d.to.send(ctx, nil).taken()
	}
	return s.proven
}

// verdict gives the suspects up if the receiver is sound, and keeps them otherwise.
func (s *search) verdict(ctx context.Context) answer {
	if len(s.suspects) == 0 {
		return answer{}
	}
	if !s.prove(ctx) {
		return s.acquit(s.suspects[0].why)
	}
	for _, v := range s.suspects {
		s.d.delivered = append(s.d.delivered, v.seq)
	}
	s.d.report.lost(len(s.suspects), s.suspects[0].why.why)
	return answer{}
}

// acquit keeps all suspects: the receiver refuses everything.
func (s *search) acquit(a answer) answer {
	s.vain = true
	if a.verdict != unclear {
		a.verdict = denied
		s.d.report.change(refused, a.why)
	}
	return a
}
