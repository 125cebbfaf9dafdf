//go:build unix

package kill

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

var (
	kills = flag.Int("kill.times", 15, "how often the program is killed")
	seed  = flag.Uint64("kill.seed", 1, "of the moments at which it is killed")
)

const (
	jobs        = 24
	stepsPerJob = 900 // fewer than get a span each
	drainWithin = 90 * time.Second
)

// TestKillsLoseNothing kills the program at random moments under load. Then every event was counted once, no counter that
// Prometheus could have seen ever fell, and every span was delivered with one content.
func TestKillsLoseNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a real process many times")
	}
	w := newWorld(t, build(t))
	w.run(t, *kills)
	for _, problem := range w.audit(t) {
		t.Error(problem)
	}
	t.Logf("%d kills, %d steps, %d scrapes, %d spans, %d of them sent more than once", *kills, w.service.Truth().Steps,
		w.scraper.count(), len(w.spans.spans), w.spans.repeated)
}

// TestKillsAreNoticed proves that the test above can fail: a build whose bookmark is committed apart from the counters
// must lose events.
func TestKillsAreNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a real process many times")
	}
	w := newWorld(t, build(t, "-tags=mutant_cursor"))
	var problems []string
	for range 8 {
		w.run(t, 15)
		if problems = w.audit(t); len(problems) > 0 {
			break
		}
	}
	if len(problems) == 0 {
		t.Fatal("the cursor is committed apart from the counters and nobody noticed")
	}
	t.Logf("noticed, as it should be: %s", problems[0])
}

// world is a training service with load, an OTLP receiver, a scraper and the program under test.
type world struct {
	program string
	dir     string
	service *wandbtest.Server
	spans   *receiver
	scraper *scraper
	random  *rand.Rand
	address string
	ids     []string
	planned map[string]int // steps still to come, by job
}

func newWorld(t *testing.T, program string) *world {
	t.Helper()
	w := &world{
		program: program, dir: t.TempDir(), spans: newReceiver(t), address: freeAddress(t),
		random: rand.New(rand.NewPCG(*seed, 1)), planned: map[string]int{},
		service: wandbtest.New(wandbtest.Options{Key: "kill-key", Seed: int64(*seed)}),
	}
	w.scraper = newScraper("http://" + w.address + "/metrics")
	api := httptest.NewServer(w.service)
	t.Cleanup(api.Close)
	model := w.service.AddModel("team", "project", "agent", "base")
	for range jobs {
		id := w.service.AddJob(wandbtest.Job{ModelID: model})
		w.ids = append(w.ids, id)
		w.planned[id] = stepsPerJob
	}
	w.configure(t, api.URL)
	return w
}

func (w *world) configure(t *testing.T, api string) {
	t.Helper()
	write(t, filepath.Join(w.dir, "key"), "kill-key")
	write(t, filepath.Join(w.dir, "jobs.json"),
		fmt.Sprintf(`[{"targets": ["%s"], "labels": {"group": "run"}}]`, strings.Join(w.ids, `","`)))
	write(t, filepath.Join(w.dir, "trainbridge.yml"), fmt.Sprintf(`
state: {directory: state}
sources:
  - name: kill
    kind: wandb
    base_url: %s/v1
    authorization: {credentials_file: key}
    job_files: [jobs.json]
    poll_intervals: {queued: 100ms, running: 100ms}
    rate_limit: 100000
    burst: 1000
otlp: {endpoint: "%s", compression: none}
`, api, w.spans.url))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run trains the jobs while the program is started and killed, then starts it once more.
func (w *world) run(t *testing.T, times int) {
	t.Helper()
	stop := w.scraper.start()
	p := w.start(t)
	w.scraper.wait(t, p) // the jobs are known before they begin: no backlog
	stopLoad := w.load()
	for range times {
		w.spans.setDown(w.random.IntN(4) == 0)
		time.Sleep(time.Duration(w.random.IntN(250)) * time.Millisecond)
		p.kill(t)
		p = w.start(t)
		if w.random.IntN(3) > 0 { // some kills hit the start itself
			w.scraper.wait(t, p)
		}
	}
	w.spans.setDown(false)
	stopLoad()
	w.drain(t)
	stop()
	p.stop(t)
}

// load appends steps to random jobs, a few hundred a second, and ends some jobs.
func (w *world) load() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	random := rand.New(rand.NewPCG(w.random.Uint64(), 2))
	go func() {
		defer close(done)
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				w.train(random)
			}
		}
	}()
	return func() { close(quit); <-done }
}

func (w *world) train(random *rand.Rand) {
	id := w.ids[random.IntN(len(w.ids))]
	left := w.planned[id]
	switch {
	case left <= 0:
		return
	case left == stepsPerJob:
		w.service.Append(id, wandbtest.Started(stepsPerJob))
	}
	for range 1 + random.IntN(3) {
		w.service.Append(id, wandbtest.Step(wandbtest.Value{Key: "loss/train", Number: random.Float64()}))
		left--
	}
	if left <= stepsPerJob/2 && random.IntN(60) == 0 {
		w.service.Append(id, wandbtest.Failed("CUDA out of memory"))
		left = 0
	}
	w.planned[id] = left
}

// drain waits until the program shows as many steps as there were.
func (w *world) drain(t *testing.T) {
	t.Helper()
	want := float64(w.service.Truth().Steps)
	deadline := time.Now().Add(drainWithin)
	for w.scraper.last(`training_group_gradient_steps_total`) != want || w.spans.steps() < int(want) {
		if time.Now().After(deadline) {
			t.Logf("after %v: %v steps shown, %d in spans, %v happened", drainWithin,
				w.scraper.last(`training_group_gradient_steps_total`), w.spans.steps(), want)
			return
		}
		if w.scraper.last(`training_group_gradient_steps_total`) > want {
			return
		}
		time.Sleep(100 * time.Millisecond)
		deadline = w.settle(deadline)
	}
}

// settle shortens the wait for a program that has stopped making progress.
func (w *world) settle(deadline time.Time) time.Time {
	if since := w.scraper.unchanged(); since > 10*time.Second {
		return time.Now()
	}
	return deadline
}

// audit compares what the program showed and sent with what happened.
func (w *world) audit(t *testing.T) (problems []string) {
	t.Helper()
	truth := w.service.Truth()
	total := map[string]int{}
	for id, job := range truth.Jobs {
		label := fmt.Sprintf(`{training_source="kill",training_job_id="%s"`, id)
		problems = append(problems, w.compare("training_job_gradient_steps_total"+label+"}", job.Steps)...)
		for kind, n := range job.Events {
			total[kind] += n
		}
	}
	problems = append(problems, w.compare(`training_group_gradient_steps_total{training_source="kill",training_group="run"}`, truth.Steps)...)
	failed := total[wandbtest.TypeFailed]
	problems = append(problems, w.compare(
		`training_source_events_total{training_source="kill",training_event_type="gradient_step"}`, truth.Steps)...)
	problems = append(problems, w.compare(
		`training_source_events_total{training_source="kill",training_event_type="training_started"}`, total[wandbtest.TypeStarted])...)
	problems = append(problems, w.compare(
		`training_source_jobs_ended_total{training_source="kill",training_job_result="failure",error_type="out_of_memory"}`, failed)...)
	problems = append(problems, w.scraper.falls()...)
	problems = append(problems, w.scraper.identity()...)
	return append(problems, w.spans.audit(truth.Steps)...)
}

func (w *world) compare(series string, want int) []string {
	if got := w.scraper.last(series); got != float64(want) && (want != 0 || w.scraper.has(series)) {
		return []string{fmt.Sprintf("%s is %v, want %d", series, got, want)}
	}
	return nil
}

var _ http.Handler = (*wandbtest.Server)(nil)
