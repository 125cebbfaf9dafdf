package wandbtest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// sink is a ResponseWriter that keeps nothing.
type sink struct{ h http.Header }

func (s sink) Header() http.Header         { return s.h }
func (s sink) Write(b []byte) (int, error) { return len(b), nil }
func (s sink) WriteHeader(int)             {}

func pollRequest(job, query string) *http.Request {
	r := httptest.NewRequest("GET", eventsPath(job)+query, nil)
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("User-Agent", "bench/1")
	return r
}

func BenchmarkPollOneEvent(b *testing.B) {
	s := newServer(b, wandbtest.Options{})
	job := newJob(s, steps(1000)...)
	all := readAll(b, s, job, 100)
	r, w := pollRequest(job, "?limit=100&after="+all[998].ID), sink{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(w, r)
	}
}

func BenchmarkBacklogPage(b *testing.B) {
	s := newServer(b, wandbtest.Options{})
	job := s.AddBacklog(1, 1_000_000)[0]
	after := page(b, s, job, "?limit=100").Data[99].ID
	r, w := pollRequest(job, "?limit=100&after="+after), sink{make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		s.ServeHTTP(w, r)
	}
}

func BenchmarkAppend(b *testing.B) {
	s := newServer(b, wandbtest.Options{})
	job := newJob(s)
	e := wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: 0.123456}, wandbtest.Value{Key: "loss/grad_norm", Number: 1.5})
	b.ReportAllocs()
	for b.Loop() {
		s.Append(job, e)
	}
}

func BenchmarkPollLoopback(b *testing.B) {
	s := newServer(b, wandbtest.Options{})
	job := newJob(s, steps(1)...)
	web := httptest.NewServer(s)
	defer web.Close()
	req, err := http.NewRequest("GET", web.URL+eventsPath(job), nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	buf := make([]byte, 4096)
	for b.Loop() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = resp.Body.Read(buf)
		}
		resp.Body.Close()
	}
}

func TestPollAllocates(t *testing.T) {
	s := newServer(t, wandbtest.Options{})
	job := newJob(s, steps(10)...)
	r, w := pollRequest(job, "?limit=100&after="+readAll(t, s, job, 0)[8].ID), sink{make(http.Header)}
	if n := testing.AllocsPerRun(100, func() { s.ServeHTTP(w, r) }); n > 12 {
		t.Errorf("a poll of one event allocates %v times", n)
	}
}
