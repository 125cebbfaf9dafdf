package prom

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// TestCacheIsInvisible changes, adds, removes and moves jobs at random: what the handler answers from its cache must always
// be what a fresh encoder writes.
func TestCacheIsInvisible(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	fixture := collectortest.Fixture()
	var pool []*collector.Job
	for j := range fixture.Jobs.All {
		pool = append(pool, j)
	}
	var snap *collector.Snapshot
	h := New(Options{Snapshot: func() *collector.Snapshot { return snap }})
	cur := collectortest.Fixture()
	for range 200 {
		cur = mutate(rnd, cur, pool)
		snap = cur
		f := Format(rnd.IntN(formatCount))
		got := scrape(h, f, rnd.IntN(2) == 0)
		body := got.Body.Bytes()
		if got.Header().Get("Content-Encoding") == "gzip" {
			body = unzip(t, got)
		}
		if !bytes.Equal(body, write(t, cur, f)) {
			t.Fatal("the answer from the cache is not that of a fresh encoder")
		}
	}
}

// mutate makes the next version of a snapshot: new blocks where something changes, as the store does.
func mutate(rnd *rand.Rand, s *collector.Snapshot, pool []*collector.Job) *collector.Snapshot {
	next := *s
	next.Jobs.Blocks = append([]*collector.Block[collector.Job](nil), s.Jobs.Blocks...)
	if rnd.IntN(10) == 0 {
		next.Jobs.Blocks = append(next.Jobs.Blocks, &collector.Block[collector.Job]{})
	}
	if rnd.IntN(30) == 0 {
		next.Jobs.Blocks = next.Jobs.Blocks[:1]
	}
	for range rnd.IntN(4) {
		at, place := rnd.IntN(len(next.Jobs.Blocks)), rnd.IntN(collector.BlockSize)
		b := *next.Jobs.Blocks[at]
		if rnd.IntN(2) == 0 { // hit an occupied place
			for i, j := range b.Items {
				if j != nil {
					place = i
				}
			}
		}
		b.Items[place] = nil
		if rnd.IntN(3) > 0 {
			j := *pool[rnd.IntN(len(pool))]
			j.Key.ID = fmt.Sprintf("%d-%d-%d", at, place, rnd.IntN(2))
			j.Steps = uint64(rnd.IntN(3))
			b.Items[place] = &j
		}
		next.Jobs.Blocks[at] = &b
	}
	return &next
}

// TestScrapesDuringChanges has several readers in all formats while jobs change. Each answer must be one moment: in
// every version of the test's jobs the steps and the events of a job are the same number.
func TestScrapesDuringChanges(t *testing.T) {
	var cur atomic.Pointer[collector.Snapshot]
	cur.Store(collectortest.Many(600))
	h := New(Options{Snapshot: cur.Load})
	stop := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				cur.Store(collectortest.Change(cur.Load(), 1, 1+i%7))
			}
		}
	})
	for i := range 5 {
		readers.Go(func() {
			for n := range 8 {
				w := scrape(h, Format((i+n)%2), n%2 == 0) // text and OpenMetrics
				body := w.Body.Bytes()
				if n%2 == 0 {
					body = unzip(t, w)
				}
				oneMoment(t, string(body))
			}
		})
	}
	readers.Wait()
	close(stop)
	writer.Wait()
}

func oneMoment(t *testing.T, body string) {
	steps, events := map[string]string{}, map[string]string{}
	for l := range strings.Lines(body) {
		name, rest, _ := strings.Cut(l, "{")
		_, id, _ := strings.Cut(rest, `training_job_id="`)
		id, _, _ = strings.Cut(id, `"`)
		value := l[strings.LastIndexByte(l, ' ')+1:]
		switch name {
		case "training_job_gradient_steps_total":
			steps[id] = value
		case "training_job_events_total":
			events[id] = value
		}
	}
	if len(steps) != 600 || len(events) != 600 {
		t.Errorf("%d and %d jobs, want 600", len(steps), len(events))
	}
	for id, n := range steps {
		if events[id] != n {
			t.Errorf("%s: %s steps and %s events: two moments in one answer", id, n, events[id])
			return
		}
	}
}

// discard is a reader that costs nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// TestUnchangedScrapeAllocatesLittle guards the hot path: the number must not grow with the jobs.
func TestUnchangedScrapeAllocatesLittle(t *testing.T) {
	const limit = 100
	for _, jobs := range []int{100, 10_000} {
		snap := collectortest.Many(jobs)
		fixture := collectortest.Fixture()
		snap.Sources, snap.Groups = fixture.Sources, fixture.Groups
		h := New(Options{Snapshot: func() *collector.Snapshot { return snap }})
		for f := range Format(formatCount) {
			for _, encoding := range []string{"", "gzip"} {
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.Header.Set("Accept", accepts[f])
				r.Header.Set("Accept-Encoding", encoding)
				run := func() { h.ServeHTTP(discard{http.Header{}}, r) }
				if n := testing.AllocsPerRun(3, run); n > limit {
					t.Errorf("%d jobs, format %d, %q: %v allocations, want at most %d", jobs, f, encoding, n, limit)
				} else {
					t.Logf("%d jobs, format %d, %q: %v allocations", jobs, f, encoding, n)
				}
			}
		}
	}
}

func TestChecksumOfParts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	var c checksum
	var whole []byte
	for range 50 {
		piece := make([]byte, rnd.IntN(70_000))
		for i := range piece {
			piece[i] = byte(rnd.Uint32())
		}
		_, s := appendStored(nil, piece)
		c.add(&s)
		whole = append(whole, piece...)
		if want := crc32.ChecksumIEEE(whole); c.sum != want || c.size != uint32(len(whole)) {
			t.Fatalf("after %d bytes: %08x, want %08x", len(whole), c.sum, want)
		}
	}
}

// meddler runs something at the first write of an answer.
type meddler struct {
	*httptest.ResponseRecorder
	once func()
}

func (m *meddler) Write(b []byte) (int, error) {
	if run := m.once; run != nil {
		m.once = nil
		run()
	}
	return m.ResponseRecorder.Write(b)
}

// TestAnswerIsOneMoment: jobs change and are rendered for another reader while an answer is being written.
func TestAnswerIsOneMoment(t *testing.T) {
	for f := range Format(formatCount) {
		for _, encoding := range []string{"", "gzip"} {
			snap := collectortest.Many(3000)
			first := snap
			h := New(Options{Snapshot: func() *collector.Snapshot { return snap }})
			w := &meddler{ResponseRecorder: httptest.NewRecorder(), once: func() {
				for range 3 {
					snap = collectortest.Change(snap, 1, 2)
					scrape(h, f, encoding == "gzip")
				}
			}}
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept", accepts[f])
			r.Header.Set("Accept-Encoding", encoding)
			h.ServeHTTP(w, r)
			body := w.Body.Bytes()
			if encoding == "gzip" {
				body = unzip(t, w.ResponseRecorder)
			}
			if !bytes.Equal(body, write(t, first, f)) {
				t.Errorf("format %d, %q: the answer changed while it was written", f, encoding)
			}
		}
	}
}
