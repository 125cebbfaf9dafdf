//go:build unix

package kill

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const scrapeEvery = 20 * time.Millisecond

// scraper reads /metrics all the time, whatever happens to the program, and remembers every counter.
type scraper struct {
	url string

	mu      sync.Mutex
	values  map[string]float64 // of the newest whole scrape
	highest map[string]float64 // counters that must never fall
	fallen  []string
	scrapes int
	changed time.Time // when a durable counter last rose
}

func newScraper(url string) *scraper { return &scraper{url: url, highest: map[string]float64{}} }

func (s *scraper) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			s.scrape(ctx)
			time.Sleep(scrapeEvery)
		}
	}()
	return func() { cancel(); <-done }
}

func (s *scraper) scrape(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return // killed
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return
	}
	s.take(parse(string(body)))
}

func parse(body string) map[string]float64 {
	values := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		end := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || end < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[end+1:], 64); err == nil {
			values[line[:end]] = v
		}
	}
	return values
}

// durable says whether a series must go on through a crash: counters of jobs, groups and accounting. Counters of polls and requests
// begin with the process.
func durable(series string) bool {
	name, _, _ := strings.Cut(series, "{")
	if !strings.HasPrefix(name, "training_") || !strings.HasSuffix(name, "_total") {
		return false
	}
	switch name {
	case "training_source_polls_total", "training_source_poll_errors_total", "training_source_requests_total":
		return false
	}
	return true
}

func (s *scraper) take(values map[string]float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = values
	s.scrapes++
	for series, v := range values {
		if !durable(series) {
			continue
		}
		if before := s.highest[series]; v < before {
			s.fallen = append(s.fallen, fmt.Sprintf("%s fell from %v to %v", series, before, v))
		} else if v > before {
			s.highest[series], s.changed = v, time.Now()
		}
	}
	for series := range s.highest {
		if _, ok := values[series]; !ok {
			s.fallen = append(s.fallen, series+" went away")
		}
	}
}

// wait waits for the next scrape that shows all jobs.
func (s *scraper) wait(t *testing.T, p *process) {
	t.Helper()
	s.mu.Lock()
	s.values = nil
	s.mu.Unlock()
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		n := 0
		s.mu.Lock()
		for series := range s.values {
			if strings.HasPrefix(series, "training_job_gradient_steps_total") {
				n++
			}
		}
		s.mu.Unlock()
		if n == jobs {
			return
		}
		select {
		case err := <-p.done:
			t.Fatalf("the program ended: %v\n%s", err, p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Fatalf("the program does not show its jobs\n%s", p.log)
}

// last sums the newest values of the series that begin so.
func (s *scraper) last(prefix string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0.0
	for series, v := range s.values {
		if series == prefix || strings.HasPrefix(series, prefix+"{") {
			sum += v
		}
	}
	return sum
}

func (s *scraper) has(series string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.values[series]
	return ok
}

func (s *scraper) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scrapes
}

func (s *scraper) unchanged() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.changed)
}

func (s *scraper) falls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fallen[:min(len(s.fallen), 5)]
}

// identity checks that every item read was counted, a duplicate or set aside.
func (s *scraper) identity() []string {
	read, duplicate := s.last("training_source_events_read_total"), s.last("training_source_events_duplicate_total")
	quarantined, counted := s.last("training_source_events_quarantined_total"), s.last("training_source_events_total")
	if read != duplicate+quarantined+counted {
		return []string{fmt.Sprintf("read %v != counted %v + duplicate %v + quarantined %v", read, counted, duplicate, quarantined)}
	}
	return nil
}
