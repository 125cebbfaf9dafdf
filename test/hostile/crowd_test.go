package hostile

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// crowd is how many calls are under way at once, as in a scheduler with default settings.
const crowd = 16

// TestManyAtOnce has all workers meet the same endless answer at the same time.
func TestManyAtOnce(t *testing.T) {
	for name, answer := range map[string]struct{ begin, filler string }{
		"spaces":  {`{"data":[`, " "},
		"text":    {`{"x":"`, "a"},
		"escapes": {`{"x":"`, `\u0041`},
		"numbers": {`{"x":`, "1"},
		"items":   {`{"x":[`, "0,"},
		"deep":    {``, `[`},
	} {
		for _, v := range victims() {
			t.Run(v.name+" "+name, func(t *testing.T) {
				peak := watchMemory(t)
				synctest.Test(t, func(t *testing.T) { together(t, v, answer.begin, answer.filler) })
				t.Logf("at most %d MiB above the start", peak()>>20)
			})
		}
	}
}

// together polls from many goroutines. Every answer goes on and on.
func together(t *testing.T, v victim, begin, filler string) {
	service := v.service(&grammar{})
	block := []byte(strings.Repeat(filler, 1<<10))
	var mu sync.Mutex
	bad := false
	spoil := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return bad
	}
	network := collectortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !spoil() || r.Method == http.MethodPost {
			service.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, begin)
		for range (64 << 20) / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	s, err := v.open(collectortest.SubjectOptions{
		Base: network.Base(), Dial: network.Dial,
		Env: collector.Env{Name: "test", Log: slog.New(slog.DiscardHandler), Health: collector.NewHealth(time.Now())},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := collectortest.NewDrive("test", s)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := d.Round(ctx); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	bad = true
	mu.Unlock()
	var calls sync.WaitGroup
	calls.Go(func() { _, _ = s.List(ctx) }) // it fails; there is never more than one
	if f, ok := s.(collector.Follower); ok {
		for _, j := range slices.Collect(maps.Values(d.Jobs())) {
			for range crowd/len(d.Jobs()) + 1 {
				calls.Go(func() { _, _ = f.Follow(ctx, j) }) // it fails
			}
		}
	}
	calls.Wait()
	if c, ok := s.(io.Closer); ok {
		c.Close()
	}
	time.Sleep(10 * time.Minute)
}
