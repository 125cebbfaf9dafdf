//go:build linux

package gpu

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest/stub"
)

// page is one scrape: values by metric and labels.
type page map[string]map[string]float64

// of is the value of the only series of a metric whose labels hold all that are given.
func (p page) of(metric string, labels ...string) (float64, bool) {
	for have, v := range p[metric] {
		if !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(have, l) }) {
			return v, true
		}
	}
	return 0, false
}

// has reports whether a series has a value.
func (p page) has(want float64, metric string, labels ...string) bool {
	v, ok := p.of(metric, labels...)
	return ok && v == want
}

// up is how many GPUs answer.
func (p page) up() (n int) {
	for _, v := range p["nvml_gpu_up"] {
		n += int(v)
	}
	return n
}

func healthy(p page) bool { return p.up() == 8 && len(p["nvml_gpu_up"]) == 8 && p.has(1, "nvml_up") }

// id is the label of a physical GPU.
func id(gpu int) string { return `hw_id="` + stub.UUID(gpu) + `"` }

// scraper reads /metrics and holds every scrape to what must always be true.
type scraper struct {
	url    string
	client *http.Client

	one sync.Mutex // held through scrapes that are judged: they must be in order

	mu       sync.Mutex
	highest  map[string]float64 // counters
	took     []time.Duration
	problems []string
	always   []func(page) string // what is wrong, or nothing
}

func newScraper(p *process) *scraper {
	return &scraper{
		url: "http://" + p.address, highest: map[string]float64{},
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
	}
}

// scrape reads a page and judges it.
func (s *scraper) scrape() (page, error) {
	s.one.Lock()
	defer s.one.Unlock()
	body, err := s.read()
	if err != nil {
		return nil, err
	}
	p, counters := parse(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge(p, counters)
	return p, nil
}

// read reads /metrics and measures how long that takes.
func (s *scraper) read() (string, error) {
	began := time.Now()
	answer, err := s.client.Get(s.url + "/metrics")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	took := time.Since(began)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("/metrics answers %s", answer.Status)
	}
	s.mu.Lock()
	s.took = append(s.took, took)
	s.mu.Unlock()
	return string(body), err
}

func parse(body string) (page, map[string]float64) {
	p, counters, counter := page{}, map[string]float64{}, false
	lines := bufio.NewScanner(strings.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			counter = strings.HasPrefix(line, "# TYPE ") && strings.HasSuffix(line, " counter")
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(line[end+1:], 64)
		if end < 0 || err != nil {
			continue
		}
		name, labels, _ := strings.Cut(line[:end], "{")
		if p[name] == nil {
			p[name] = map[string]float64{}
		}
		p[name][labels] = v
		if counter && (strings.HasPrefix(name, "hw_") || strings.HasPrefix(name, "nvml_")) {
			counters[line[:end]] = v
		}
	}
	return p, counters
}

// judge notes what must never be.
func (s *scraper) judge(p page, counters map[string]float64) {
	for series, v := range counters {
		if before, ok := s.highest[series]; ok && v < before {
			s.problem("%s fell from %v to %v", series, before, v)
		}
		s.highest[series] = max(v, s.highest[series])
	}
	for series := range s.highest {
		if _, ok := counters[series]; !ok {
			s.problem("%s went away", series)
		}
	}
	if n, _ := p.of("nvml_helpers"); n > 2 {
		s.problem("there are %v helpers", n)
	}
	for _, wrong := range s.always {
		if w := wrong(p); w != "" {
			s.problem("%s", w)
		}
	}
}

func (s *scraper) problem(format string, args ...any) {
	if len(s.problems) < 8 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// check holds every scrape to a condition, until it is told to forget it.
func (s *scraper) check(wrong func(page) string) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = append(s.always, wrong)
	i := len(s.always) - 1
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.always[i] = func(page) string { return "" }
	}
}

// audit reports what was wrong, and forgets it.
func (s *scraper) audit(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.problems {
		t.Error(p)
	}
	s.problems = nil
}

// until scrapes until a condition holds, and says how long that took.
func (s *scraper) until(t *testing.T, limit time.Duration, what string, holds func(page) bool) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		p, err := s.scrape()
		took := time.Since(began)
		if err == nil && holds(p) {
			if took > limit {
				t.Errorf("%s: after %v, want %v at most", what, took, limit)
			}
			return took
		}
		if took > limit+10*time.Second { // long after: to tell late from never
			t.Fatalf("%s: not after %v (last error: %v); up: %v, nvml_up: %v, faults: %v", what, took, err,
				p["nvml_gpu_up"], p["nvml_up"], p["nvml_fault_info"])
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// watch judges scrapes until the end of the test.
func (s *scraper) watch(t *testing.T) {
	t.Helper()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			case <-time.After(30 * time.Millisecond):
				_, _ = s.scrape() // what comes before the start and after the end does not answer
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-done; s.audit(t) })
}

// load scrapes from several goroutines at once until it is stopped, and then says what that took. Every scrape must be answered.
func (s *scraper) load(t *testing.T, what string) (stop func()) {
	t.Helper()
	scrapers, pause := 4, 30*time.Millisecond
	least := 200
	if *long {
		pause, least = 5*time.Millisecond, 2000
	}
	s.latencies()
	quit, failed := make(chan struct{}), make(chan error, scrapers)
	var group sync.WaitGroup
	for range scrapers {
		group.Go(func() {
			for n := 0; ; n++ {
				if _, err := s.read(); err != nil {
					failed <- err
					return
				}
				select {
				case <-quit:
					if n >= least/scrapers {
						return
					}
				case <-time.After(pause):
				}
			}
		})
	}
	return func() {
		t.Helper()
		close(quit)
		group.Wait()
		close(failed)
		for err := range failed {
			t.Errorf("%s: a scrape failed: %v", what, err)
		}
		s.report(t, what)
	}
}

// report holds what scrapes took to the bounds.
func (s *scraper) report(t *testing.T, what string) {
	t.Helper()
	n, p99, longest := s.latencies()
	t.Logf("%s: %d scrapes, p99 %v, longest %v", what, n, p99.Round(10*time.Microsecond), longest.Round(10*time.Microsecond))
	if *long && (p99 > 50*time.Millisecond || longest > 250*time.Millisecond) {
		t.Errorf("%s: scrapes took p99 %v and at most %v, want 50ms and 250ms", what, p99, longest)
	}
	if longest > 2*time.Second {
		t.Errorf("%s: a scrape took %v, want 2s at most", what, longest)
	}
}

// latencies are what scrapes took since the last call.
func (s *scraper) latencies() (n int, p99, longest time.Duration) {
	s.mu.Lock()
	took := s.took
	s.took = nil
	s.mu.Unlock()
	if len(took) == 0 {
		return 0, 0, 0
	}
	slices.Sort(took)
	return len(took), took[len(took)*99/100], took[len(took)-1]
}
