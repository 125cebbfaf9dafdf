package collectortest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// How long calls may take; as the scheduler has it.
const (
	listWithin = 5 * time.Minute
	pollWithin = 45 * time.Second
)

const (
	// maxAlloc is what one call may allocate in all, however large the answers are.
	maxAlloc = 48 << 20
	// maxText is the longest error text that is of use.
	maxText = 2000
)

// bench is a service behind a meddler, a source that asks it and a drive. It fails the test by itself when a call takes
// too long or too much, or says what it should not.
type bench struct {
	testing.TB
	subject Subject
	service Service
	meddler *meddler
	network *Network
	health  *collector.Health
	logs    *logs
	drive   *Drive
	opened  []collector.Source
	existed map[string]bool // jobs that ever were
	usual   map[string]int  // the most requests a good call made, by kind of call
}

func newBench(tb testing.TB, s Subject, badKey bool) *bench {
	tb.Helper()
	b := &bench{
		TB: tb, subject: s, service: s.Service(tb), health: collector.NewHealth(time.Now()), logs: &logs{},
		existed: map[string]bool{}, usual: map[string]int{},
	}
	b.meddler = newMeddler(s, b.service, "127.0.0.1:80")
	b.network = Serve(tb, b.meddler)
	b.drive = NewDrive("test", b.open(badKey))
	b.census()
	return b
}

// open makes a source. Another one than the first knows nothing of the requests that were made before it, so some time passes.
func (b *bench) open(badKey bool) collector.Source {
	b.Helper()
	if len(b.opened) > 0 {
		time.Sleep(time.Minute)
	}
	source := b.subject.Open(b.TB, SubjectOptions{
		Base: b.network.Base(), Dial: b.dial, BadKey: badKey,
		Env: collector.Env{
			Name: "test", Health: b.health,
			Log: slog.New(slog.NewTextHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		},
	})
	b.opened = append(b.opened, source)
	return source
}

// reopen goes on with a new source, as after a restart.
func (b *bench) reopen() {
	b.Helper()
	b.drive.Reopen(b.open(false))
}

// afresh forgets the jobs: everything is a backlog again.
func (b *bench) afresh() {
	b.Helper()
	b.drive = NewDrive("test", b.open(false))
}

// close ends the bench and looks for what was left behind.
func (b *bench) close(provoked bool) {
	b.Helper()
	b.meddler.meddle(nil)
	for _, s := range b.opened {
		if c, ok := s.(io.Closer); ok {
			if err := c.Close(); err != nil {
				b.Errorf("Close: %v", err)
			}
		}
	}
	time.Sleep(5 * time.Minute) // longer than idle connections are kept
	synctest.Wait()
	for _, stack := range Leftovers() {
		b.Errorf("a goroutine was left behind:\n%s", stack)
	}
	time.Sleep(100 * time.Hour) // what sleeps may wake and leave, so that the failure is this one
	for kind, n := range b.service.Violations() {
		if n > 0 && !(provoked && (strings.Contains(kind, "auth") || strings.Contains(kind, "token"))) {
			b.Errorf("violation of the provider's rules: %s, %d times", kind, n)
		}
	}
	for _, stray := range b.meddler.wandered() {
		b.Errorf("%s, which is not the service", stray)
	}
	for _, line := range b.drive.Broken() {
		b.Errorf("the accounting does not add up: %s", line)
	}
	if what := b.meddler.shown(b.logs.String(), false); what != "" {
		b.Errorf("the log shows %s", what)
	}
}

func (b *bench) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := b.meddler.dialled(address); err != nil {
		return nil, err
	}
	return b.network.Dial(ctx, network, address)
}

// outcome is how one call went.
type outcome struct {
	update   collector.Update // of a poll
	listing  collector.Listing
	err      error
	took     time.Duration
	requests int
}

// list and follow make one call each, with the time that the scheduler gives it.
func (b *bench) list() outcome {
	b.Helper()
	var l collector.Listing
	out := b.call("List", listWithin, func(ctx context.Context) (err error) {
		l, err = b.drive.List(ctx)
		return err
	})
	out.listing = l
	return out
}

func (b *bench) follow(id string) outcome {
	b.Helper()
	var u collector.Update
	out := b.call("Follow", pollWithin, func(ctx context.Context) (err error) {
		u, err = b.drive.Follow(ctx, id)
		return err
	})
	out.update = u
	return out
}

// call makes one call and holds it to what every call promises.
func (b *bench) call(kind string, within time.Duration, f func(context.Context) error) outcome {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), within)
	defer cancel()
	before, asked, start := allocated(), b.meddler.requests(), time.Now()
	err := f(ctx)
	out := outcome{err: err, took: time.Since(start), requests: b.meddler.requests() - asked}
	if grown := allocated() - before; grown > maxAlloc {
		b.Fatalf("%s: %d MiB were allocated, at most %d are allowed", kind, grown>>20, maxAlloc>>20) // more calls would hurt the machine
	}
	if out.took > within+time.Second {
		b.Errorf("%s: took %v, its deadline was after %v", kind, out.took, within)
	}
	b.judgeText(kind, err)
	return out
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// judgeText holds an error's text to what it must say and must not.
func (b *bench) judgeText(kind string, err error) {
	b.Helper()
	if err == nil {
		return
	}
	text := err.Error()
	if what := b.meddler.shown(text, true); what != "" {
		b.Errorf("%s: the error's text shows %s", kind, what)
		return
	}
	if len(text) > maxText {
		b.Errorf("%s: the error's text has %d bytes", kind, len(text))
	}
	names := func(r collector.RequestCount) bool { return r.Operation != "" && strings.Contains(text, r.Operation) }
	if requests := b.health.View().Requests; len(requests) > 0 && !slices.ContainsFunc(requests, names) {
		b.Errorf("%s: the error names no operation: %s", kind, text)
	}
}

// round lists and polls every job to the end of its backlog. It returns the first error.
func (b *bench) round() error {
	b.Helper()
	out := b.list()
	b.usual["List"] = max(b.usual["List"], out.requests)
	first := out.err
	for _, id := range b.drive.Due() {
		for polls := 0; ; polls++ {
			out := b.follow(id)
			b.usual["Follow"] = max(b.usual["Follow"], out.requests)
			if out.err != nil && first == nil {
				first = out.err
			}
			if out.err != nil || !out.update.More {
				break
			}
			if polls == maxPolls {
				b.Fatalf("job %s: more after %d polls", id, polls)
			}
		}
	}
	return first
}

// settle makes rounds until the jobs are what they truly are. The service stands still meanwhile, and time passes for what
// rests after a failure.
func (b *bench) settle(when string) {
	b.Helper()
	const pause, rounds = 2 * time.Minute, 75 // two and a half hours; a service can ask to wait for one
	var err error
	for range rounds {
		err = b.round()
		if err == nil && len(b.wrong()) == 0 {
			return
		}
		if b.hopeless() {
			break
		}
		time.Sleep(pause)
	}
	wrong := b.wrong()
	b.Fatalf("%s: the jobs are not what they are at the service, and will not be: %s; last error: %v", when,
		strings.Join(wrong[:min(len(wrong), 5)], "; "), err)
}

// hopeless reports whether more was counted than happened: no round makes that good.
func (b *bench) hopeless() bool {
	truth := b.service.Truth()
	for id, j := range b.drive.Jobs() {
		if t, ok := truth[id]; ok && t.Events >= 0 && j.EventCount() > uint64(t.Events) {
			return true
		}
	}
	return false
}

// wrong says where the jobs differ from the truth.
func (b *bench) wrong() []string {
	var out []string
	truth, jobs := b.service.Truth(), b.drive.Jobs()
	for id, t := range truth {
		j := jobs[id]
		switch {
		case j == nil:
			out = append(out, fmt.Sprintf("job %s is not known", id))
		case j.Gone:
			out = append(out, fmt.Sprintf("job %s counts as gone (%s)", id, j.Status))
		case j.Phase != t.Phase:
			out = append(out, fmt.Sprintf("job %s is %s, not %s", id, t.Phase, j.Phase))
		case t.Events >= 0 && j.EventCount() != uint64(t.Events):
			out = append(out, fmt.Sprintf("job %s had %d events, %d were counted", id, t.Events, j.EventCount()))
		}
	}
	for id := range jobs {
		if !b.existed[id] {
			out = append(out, fmt.Sprintf("job %s never was", id))
		}
	}
	slices.Sort(out)
	return out
}

// advance lets time pass, for the service too.
func (b *bench) advance(d time.Duration) {
	time.Sleep(d)
	b.service.Advance(d)
	b.census()
}

func (b *bench) census() {
	for id := range b.service.Truth() {
		b.existed[id] = true
	}
}

// snapshot is what a fault must not change.
func (b *bench) snapshot() map[string]collector.Job {
	out := map[string]collector.Job{}
	for id, j := range b.drive.Jobs() {
		out[id] = *j
	}
	return out
}

// unharmed compares the jobs with what they were before a fault: none has ended or left by it, and nothing was counted that did
// not happen. If nothing could be learned, nothing was counted at all.
func (b *bench) unharmed(before map[string]collector.Job, learned bool) {
	b.Helper()
	truth := b.service.Truth()
	for id, j := range b.drive.Jobs() {
		t, there := truth[id]
		if !b.existed[id] {
			b.Errorf("job %s was made up", id)
		}
		if there && t.Events >= 0 && j.EventCount() > uint64(t.Events) {
			b.Errorf("job %s had %d events, %d are counted", id, t.Events, j.EventCount())
		}
		was, known := before[id]
		if !known {
			continue
		}
		if j.Gone && !was.Gone {
			b.Errorf("job %s counts as gone (%s) by the fault", id, j.Status)
		} else if j.Phase != was.Phase && !(there && j.Phase == t.Phase) {
			b.Errorf("job %s is %s by the fault, was %s", id, j.Phase, was.Phase)
		}
		if !learned && j.EventCount() != was.EventCount() {
			b.Errorf("job %s: %d events are counted, were %d before the fault", id, j.EventCount(), was.EventCount())
		}
	}
}

// logs keeps what was logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements [io.Writer].
func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// String is all that was logged.
func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Leftovers are the stacks of the goroutines in the bubble of a [testing/synctest] test that neither the test itself nor a
// [Network] needs. Sources must be closed before, and connections that are idle have had their time.
func Leftovers() []string {
	buf := make([]byte, 4<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	bubble := bubbleOf(stacks[0]) // the first is ours
	if bubble == "" {
		return nil
	}
	var out []string
	for _, stack := range stacks[1:] {
		head, _, _ := strings.Cut(stack, "\n")
		if bubbleOf(head) == bubble && !expected(stack) {
			out = append(out, stack)
		}
	}
	return out
}

func bubbleOf(head string) string {
	head, _, _ = strings.Cut(head, "\n")
	_, after, found := strings.Cut(head, "synctest bubble ")
	if !found {
		return ""
	}
	number, _, _ := strings.Cut(after, "]")
	number, _, _ = strings.Cut(number, ",")
	return number
}

// expected are goroutines of the test itself: its main one, and the server that goes on until the end.
func expected(stack string) bool {
	for _, part := range []string{"testing.tRunner", "testing/synctest.", "internal/synctest.", "collectortest.Serve"} {
		if strings.Contains(stack, part) {
			return true
		}
	}
	return false
}
