package otlp

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trainbridge/trainbridge/collector"
)

// client sends one encoded request. Implementations bound the time of a request and are used by one goroutine at a time.
type client interface {
	send(ctx context.Context, body []byte) answer
	close()
}

// verdict is what an answer means for what was sent.
type verdict uint8

const (
	accepted verdict = iota // all of it, or the receiver counts what it refused: never send it again
	retry                   // later, unchanged
	rejected                // the content is at fault: never again as a whole
	tooLarge                // in smaller pieces
	unclear                 // the receiver broke on it: the content may be at fault
	denied                  // the endpoint or the credentials are at fault: later, after an operator acted
)

// answer is the outcome of one request.
type answer struct {
	verdict verdict
	refused int64         // items of an accepted request that the receiver refused
	after   time.Duration // what the receiver asks to wait, at most maxWait
	why     string        // for people; cleaned
}

func (a answer) taken() bool { return a.verdict == accepted }

// result is the label of trainbridge_otlp_exports_total.
func (a answer) result() string {
	switch a.verdict {
	case accepted:
		if a.refused > 0 {
			return resultPartial
		}
		return resultSuccess
	case retry:
		return resultRetry
	case rejected, tooLarge:
		return resultRejected
	}
	return resultError
}

const (
	maxAnswer = 64 << 10
	maxWait   = 5 * time.Minute // longest wait that a receiver can ask for
)

// acceptedWith reads an Export response. Those of metrics and traces have the same encoding. What cannot be read says
// nothing: the status already said that the request was accepted.
func acceptedWith(body []byte) answer {
	var r coltracepb.ExportTraceServiceResponse
	if len(body) == 0 || proto.Unmarshal(body, &r) != nil {
		return answer{}
	}
	p := r.GetPartialSuccess()
	return answer{refused: max(p.GetRejectedSpans(), 0), why: collector.Clean(p.GetErrorMessage())}
}

// retryAfter reads the header in both forms of RFC 9110, clamped to [0, maxWait].
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseInt(header, 10, 64); err == nil {
		return clampWait(time.Duration(min(seconds, int64(maxWait/time.Second))) * time.Second)
	}
	if at, err := http.ParseTime(header); err == nil {
		return clampWait(at.Sub(now))
	}
	return 0
}

func clampWait(d time.Duration) time.Duration { return min(max(d, 0), maxWait) }

// backoff makes random waits ("full jitter"), whose bound doubles with every failure.
type backoff struct {
	first, most time.Duration
	failures    int
}

func (b *backoff) reset() { b.failures = 0 }

// next is how long to wait after one more failure, in which the receiver asked for after.
func (b *backoff) next(after time.Duration) time.Duration {
	bound := min(b.first<<min(b.failures, 16), b.most)
	b.failures++
	return after + rand.N(bound)
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
