package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// wire is a connection to a browser, which may stop reading. Its clock is that of the test's bubble.
type wire struct {
	mu       sync.Mutex
	header   http.Header
	status   int
	text     bytes.Buffer
	stuck    bool
	deadline time.Time
	sent     []time.Time
}

func (w *wire) Header() http.Header { return w.header }
func (w *wire) WriteHeader(s int)   { w.status = s }
func (w *wire) Flush()              {}

func (w *wire) SetReadDeadline(time.Time) error { return nil }

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stuck {
		time.Sleep(time.Until(w.deadline))
		return 0, os.ErrDeadlineExceeded
	}
	w.sent = append(w.sent, time.Now())
	return w.text.Write(b)
}

// messages are the updates so far, oldest first.
func (w *wire) messages(t *testing.T) (all []message) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range strings.Lines(w.text.String()) {
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			var m message
			if err := json.Unmarshal([]byte(text), &m); err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
	}
	return all
}

// watch opens a stream; done tells when the handler has returned.
func watch(ctx context.Context, s *site, path string) (w *wire, done *atomic.Bool) {
	w, done = &wire{header: http.Header{}, status: 200}, new(atomic.Bool)
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	go func() {
		s.ServeHTTP(w, r)
		done.Store(true)
	}()
	synctest.Wait()
	return w, done
}

// bubble is a world at the time of the bubble.
func bubble(t *testing.T, jobs int) (*world, *site) {
	w := &world{}
	w.source("s", true)
	for i := range jobs {
		w.job("j" + strconv.Itoa(i))
	}
	s := w.site(t)
	s.now = func() time.Time { return at.Add(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))) }
	return w, s
}

func (w *world) step(i int) { w.change(i, func(j *collector.Job) { j.Steps++ }) }

func (w *world) change(i int, change func(*collector.Job)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := *w.jobs[i]
	change(&j)
	w.jobs[i] = &j
}

// leave keeps the jobs from one place to another.
func (w *world) leave(from, to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs = w.jobs[from:to:to]
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// TestUpdatesAreWhatChanged: a stream begins with all that the page has not, then tells only news, at most once a second.
func TestUpdatesAreWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := bubble(t, 50)
		ctx, cancel := context.WithCancel(t.Context())
		wire, done := watch(ctx, s, "/api/v1/events?")
		first := wire.messages(t)
		if len(first) != 1 || len(first[0].Lists["jobrows"]) != 50 || first[0].Set[jobID(w.jobs[7])] == "" || first[0].Title == "" {
			t.Fatalf("the stream begins with %d messages", len(first))
		}
		if h := wire.header; h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("header %v", h)
		}
		time.Sleep(5 * time.Second)
		if n := len(wire.messages(t)); n != 1 {
			t.Errorf("%d messages of nothing", n-1)
		}
		w.step(7)
		time.Sleep(1500 * time.Millisecond)
		got := wire.messages(t)
		if len(got) != 2 || !slices.Equal(keys(got[1].Set), []string{jobID(w.jobs[7])}) || len(got[1].Lists) != 0 || got[1].Title != "" {
			t.Fatalf("one job changed, the update is of %v", got[1:])
		}
		time.Sleep(100 * time.Millisecond)
		for range 40 { // ten seconds of constant news
			for i := range w.jobs {
				w.step(i)
			}
			time.Sleep(250 * time.Millisecond)
		}
		if n := len(wire.messages(t)) - 2; n < 9 || n > 10 {
			t.Errorf("%d updates in ten seconds", n)
		}
		w.change(3, failedAt(0))
		w.leave(0, 49)
		time.Sleep(2 * time.Second)
		m := wire.messages(t)
		last := m[len(m)-1]
		if len(last.Lists["jobrows"]) != 49 || last.Lists["jobrows"][0] != jobID(w.jobs[3]) || !strings.Contains(last.Set["verdict"], "1 job failed within the last hour") ||
			!strings.Contains(last.Set["attention"], "CUDA out of memory") || last.Title != "(1) trainbridge" {
			t.Errorf("a failure: %v, title %q", last.Lists, last.Title)
		}
		if slices.Contains(keys(last.Set), "sourcerows") || last.Set["memory"] != "" {
			t.Errorf("what did not change was sent: %v", keys(last.Set))
		}
		time.Sleep(20 * time.Second)
		if !strings.Contains(wire.text.String(), ": nothing new") {
			t.Error("no sign of life")
		}
		cancel()
		synctest.Wait()
		if !done.Load() || len(s.viewers) != 0 {
			t.Error("the stream outlives its viewer")
		}
	})
}

// TestStreamsGoOnWhereThePageEnded: rows that the page has are not sent again, but for those that changed since.
func TestStreamsGoOnWhereThePageEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := bubble(t, 50)
		body := get(s, http.MethodGet, "/").Body.String()
		_, rest, _ := strings.Cut(body, `data-stream="`)
		address, _, _ := strings.Cut(rest, `"`)
		w.step(9)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		wire, _ := watch(ctx, s, "/"+strings.ReplaceAll(address, "&amp;", "&"))
		m := wire.messages(t)
		rows := 0
		for id := range m[0].Set {
			if strings.HasPrefix(id, "j") && len(id) == 17 {
				rows++
			}
		}
		if rows != 1 || m[0].Set[jobID(w.jobs[9])] == "" {
			t.Errorf("%d rows were sent again", rows)
		}
		cancel()
		synctest.Wait()
		for range 3 * recentMost {
			get(s, http.MethodGet, "/")
		}
		if len(s.recent.sent) != recentMost || len(s.recent.order) != recentMost {
			t.Errorf("%d pages are remembered", len(s.recent.sent))
		}
	})
}

// TestASlowViewerIsLetGo: it holds up nobody, nothing is kept for it, and its place is free again.
func TestASlowViewerIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := bubble(t, 5)
		ctx, cancel := context.WithCancel(t.Context())
		slow, done := watch(ctx, s, "/api/v1/events?")
		quick, _ := watch(ctx, s, "/api/v1/events?")
		slow.mu.Lock()
		slow.stuck = true
		slow.mu.Unlock()
		time.Sleep(500 * time.Millisecond) // between the looks
		began := time.Now()
		for !done.Load() {
			w.step(0)
			time.Sleep(time.Second)
		}
		if d := time.Since(began); d > 13*time.Second {
			t.Errorf("it was waited for for %s", d)
		}
		if n := len(quick.messages(t)); n < 9 {
			t.Errorf("the other viewer had %d updates meanwhile", n)
		}
		if len(s.viewers) != 1 {
			t.Errorf("%d places are taken", len(s.viewers))
		}
		cancel()
		synctest.Wait()
	})
}

// TestViewersAreBounded: one too many is refused and changes nothing for the others; the end of the program ends all.
func TestViewersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := bubble(t, 5)
		stop := make(chan struct{})
		s.o.Done = stop
		s.viewers = make(chan struct{}, 3)
		var ends []*atomic.Bool
		for range 3 {
			_, done := watch(t.Context(), s, "/api/v1/events?")
			ends = append(ends, done)
		}
		w, done := watch(t.Context(), s, "/api/v1/events?")
		if !done.Load() || w.status != http.StatusServiceUnavailable || w.header.Get("Retry-After") == "" {
			t.Errorf("one too many: %d", w.status)
		}
		close(stop)
		synctest.Wait()
		for _, done := range ends {
			if !done.Load() {
				t.Error("a stream outlives the program")
			}
		}
	})
}

// TestLooksAreShared: a hundred viewers of one query cost one pass a second, and an expensive pass is made less often.
func TestLooksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := bubble(t, 5)
		var passes atomic.Int64
		s.look.snapshot = func() *collector.Snapshot { passes.Add(1); return w.snapshot() }
		s.viewers = make(chan struct{}, 100)
		ctx, cancel := context.WithCancel(t.Context())
		for range 100 {
			watch(ctx, s, "/api/v1/events?")
		}
		time.Sleep(10 * time.Second)
		if n := passes.Load(); n > 12 {
			t.Errorf("%d passes in ten seconds", n)
		}
		cancel()
		synctest.Wait()
		s.look.took = 100 * time.Millisecond
		if d := s.look.pace(5); d != 10*time.Second {
			t.Errorf("five viewers of a pass of 100 ms look every %s", d)
		}
		for i := range 1000 {
			s.look.find(queryOf(map[string][]string{"q": {strconv.Itoa(i)}}))
			if i%100 == 0 {
				time.Sleep(time.Second)
			}
		}
		if n := len(s.look.answers); n > answersMost {
			t.Errorf("%d answers are kept", n)
		}
	})
}

// TestUpdatesOfAJob: its page is told what changed in it, and that it is gone.
func TestUpdatesOfAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := bubble(t, 5)
		ctx, cancel := context.WithCancel(t.Context())
		wire, _ := watch(ctx, s, "/api/v1/events?source=s&job=j2")
		w.step(1)
		time.Sleep(2 * time.Second)
		if n := len(wire.messages(t)); n != 1 {
			t.Fatalf("%d messages", n)
		}
		w.change(2, failedAt(0))
		time.Sleep(2 * time.Second)
		m := wire.messages(t)
		if len(m) < 2 || !strings.Contains(m[1].Set["jobhead"], "failed") || !strings.Contains(m[1].Set["jobproblems"], "CUDA") || !strings.HasPrefix(m[1].Title, "✖") {
			t.Fatalf("the failure came as %v", m[1:])
		}
		w.leave(0, 1)
		time.Sleep(2 * time.Second)
		m = wire.messages(t)
		if last := m[len(m)-1]; !strings.Contains(last.Set["jobhead"], "No job of that name") {
			t.Errorf("gone: %v", last)
		}
		cancel()
		synctest.Wait()
	})
}
