package tensorone

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

func listing(c *Config) { c.List = listOn }

func TestJobsAreListed(t *testing.T) {
	for shape, f := range map[string]tensoronetest.Faults{
		"total": {}, "totalCount": {TotalCount: true}, "no total": {NoTotal: true}, "bare": {BareList: true}, "texts": {StringNumbers: true},
		"no offset": {IgnoreOffset: true}, "extra": {ExtraFields: true},
	} {
		t.Run(shape, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tensoronetest.Options{List: true, PageLimit: 50}, listing)
				for i := range 120 {
					j := running()
					j.ID = fmt.Sprintf("job-%03d", i)
					b.server.AddJob(j)
				}
				b.server.SetFaults(f)
				l := b.list()
				found := 120
				if f.IgnoreOffset {
					found = 50
					if !strings.Contains(b.log.String(), "not read to its end") {
						t.Errorf("nothing was said of a list that repeats itself: %s", b.log)
					}
				}
				if len(l.Jobs) != found || !l.Partial || l.Local {
					t.Errorf("%d jobs, partial %t, local %t", len(l.Jobs), l.Partial, l.Local)
				}
				if n := len(b.server.Requests()); n > 4 {
					t.Errorf("%d requests for three pages", n)
				}
				if j := b.drive.Jobs()["job-119"]; j.Phase != collector.Running || j.Info.Name != "llama" {
					t.Errorf("%+v", j)
				}
				b.violations()
			})
		})
	}
}

// TestAnEndlessListEnds: a service that always has more is not read for ever.
func TestAnEndlessListEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"total":1000000,"jobs":[`)
			for i := range 100 {
				if n++; i > 0 {
					fmt.Fprint(w, ",")
				}
				fmt.Fprintf(w, `{"jobId":"j%d","status":"queued"}`, n)
			}
			fmt.Fprint(w, `]}`)
		})
		s, err := New(testConfig(t, h, listing), collector.Env{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		l, err := s.List(t.Context())
		if err != nil || len(l.Jobs) != maxPages*listLimit || n != maxPages*listLimit {
			t.Errorf("%d jobs of %d, %v", len(l.Jobs), n, err)
		}
	})
}

func TestAutoAsksOnceAnHour(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusForbidden} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, tensoronetest.Options{ListStatus: status}, func(c *Config) { c.Jobs = []Job{{ID: theJob}} })
			for range 170 {
				b.list()
				time.Sleep(time.Minute)
			}
			if n := len(b.server.Requests()); n != 3 {
				t.Errorf("%d: asked %d times in 170 minutes", status, n)
			}
			if n := strings.Count(b.log.String(), "does not list jobs"); n != 3 {
				t.Errorf("%d: said %d times", status, n)
			}
			b.violations()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, listing)
		_, err := b.drive.List(t.Context())
		mustFail(t, err, "list jobs", "404", "list: auto or off")
	})
}

// TestWhoLeavesTheFiles: a job that leaves the files ends its life here, unless the service may still list it.
func TestWhoLeavesTheFiles(t *testing.T) {
	for _, list := range []string{listOff, listAuto, listOn} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "jobs.yaml")
			write := func(text string) {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b := newBench(t, tensoronetest.Options{List: list == listOn}, func(c *Config) {
				c.List, c.JobFiles = list, []string{filepath.Join(filepath.Dir(path), "*.yaml")}
			})
			j := running()
			j.ID = "keep"
			b.server.AddJob(j)
			write("- targets: [job-1, keep, 'no/id']\n  labels: {owner: speech, name: named}\n")
			l := b.list()
			if len(l.Jobs) != 2 || b.drive.Jobs()["keep"].Info.Owner != "speech" {
				t.Errorf("%s: %d jobs, owner %q", list, len(l.Jobs), b.drive.Jobs()["keep"].Info.Owner)
			}
			write("- targets: [keep]\n")
			time.Sleep(2 * time.Hour)
			b.list() // auto is refused a second time
			b.list()
			if gone := b.drive.Jobs()["job-1"].Gone; gone != (list != listOn) {
				t.Errorf("%s: gone is %t", list, gone)
			}
			write("nonsense")
			if _, err := b.drive.List(t.Context()); err == nil || b.drive.Jobs()["keep"].Gone {
				t.Errorf("%s: a broken file: %v, gone %t", list, err, b.drive.Jobs()["keep"].Gone)
			}
		})
	}
}

// TestOldEndsAreLeftOut: a long list of jobs that ended costs no polls; one that was seen running and then ended is told of.
func TestOldEndsAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{List: true}, listing)
		for i := range 80 {
			j := tensoronetest.Job{ID: fmt.Sprint("old-", i), Status: "completed", Completed: time.Now()}
			if i%2 == 0 {
				j.Completed = time.Time{} // lastUpdated tells
			}
			b.server.AddJob(j)
		}
		b.server.AddJob(running())
		time.Sleep(2 * time.Hour)
		b.server.AddJob(tensoronetest.Job{ID: "new", Status: "failed", Error: "NCCL error", Completed: time.Now().Add(-time.Minute)})
		if l := b.list(); len(l.Jobs) != 2 {
			t.Errorf("%d jobs", len(l.Jobs))
		}
		if j := b.drive.Jobs()["new"]; j.Phase != collector.Failed || j.Message != "NCCL error" {
			t.Errorf("%s: %q", j.Phase, j.Message)
		}
		b.server.Set(theJob, func(j *tensoronetest.Job) { j.Status, j.Updated = "completed", time.Now().Add(-90*time.Minute) })
		time.Sleep(time.Minute)
		b.list()
		if j := b.drive.Jobs()[theJob]; j.Phase != collector.Succeeded {
			t.Errorf("a job that was known: %s", j.Phase)
		}
	})
}

func TestNewsOfAListingAreSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{List: true}, listing)
		b.server.AddJob(running())
		b.list()
		b.poll(theJob)
		time.Sleep(time.Minute)
		b.server.Set(theJob, func(j *tensoronetest.Job) { j.Progress.Step++ })
		if l := b.list(); l.Jobs[0].Soon {
			t.Error("soon, without another status")
		}
		time.Sleep(time.Minute)
		b.server.SetStatus(theJob, "paused")
		if l := b.list(); !l.Jobs[0].Soon || b.drive.Jobs()[theJob].Phase != collector.Paused {
			t.Errorf("soon %t, %s", l.Jobs[0].Soon, b.drive.Jobs()[theJob].Phase)
		}
	})
}

// TestAListThatLags: a line from before what a poll has seen changes nothing.
func TestAListThatLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{List: true}, listing)
		b.server.AddJob(running())
		b.list()
		time.Sleep(time.Hour)
		b.server.SetStatus(theJob, "paused")
		b.poll(theJob)
		b.server.Set(theJob, func(j *tensoronetest.Job) { j.Status, j.Updated = "running", time.Now().Add(-time.Minute) })
		b.list()
		if j := b.drive.Jobs()[theJob]; j.Phase != collector.Paused {
			t.Errorf("a job that was seen paused: %s", j.Phase)
		}
		b.server.SetStatus(theJob, "completed")
		b.poll(theJob)
		b.server.Set(theJob, func(j *tensoronetest.Job) { j.Status, j.Updated = "running", time.Now().Add(-time.Minute) })
		time.Sleep(time.Minute)
		b.list()
		if j := b.drive.Jobs()[theJob]; j.Phase != collector.Succeeded || j.Attempt != 1 {
			t.Errorf("%s, attempt %d", j.Phase, j.Attempt)
		}
		b.drive.Reopen(b.open()) // which remembers nothing
		b.list()
		if j := b.drive.Jobs()[theJob]; j.Phase != collector.Succeeded || j.Attempt != 1 {
			t.Errorf("after a restart: %s, attempt %d", j.Phase, j.Attempt)
		}
	})
}

// mover changes the list of jobs while its pages are read.
type mover struct {
	server *tensoronetest.Server
	mu     sync.Mutex
	rnd    *rand.Rand
	made   int
	quiet  bool
}

func (m *mover) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	if !m.quiet && r.URL.Path == "/v2/training/jobs" {
		for range m.rnd.IntN(4) {
			m.add()
		}
		if ids := m.server.IDs(); len(ids) > 1 && m.rnd.IntN(2) == 0 {
			m.server.Remove(ids[m.rnd.IntN(len(ids))])
		}
	}
	m.mu.Unlock()
	m.server.ServeHTTP(w, r)
}

func (m *mover) add() {
	m.made++
	j := running()
	j.ID = fmt.Sprint("job-", m.made)
	m.server.AddJob(j)
}

// TestMovingLists: jobs come and go between pages. None that is there is ever thought gone, and all are found in the end.
func TestMovingLists(t *testing.T) {
	for seed := range uint64(max(3, *schedules/100)) {
		synctest.Test(t, func(t *testing.T) {
			server := tensoronetest.New(tensoronetest.Options{Key: testKey, ReadsPerHour: -1, List: true, PageLimit: 7, Seed: int64(seed)})
			m := &mover{server: server, rnd: rand.New(rand.NewPCG(seed, 3))}
			for range 30 {
				m.add()
			}
			s, err := New(testConfig(t, m, listing), collector.Env{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			drive := collectortest.NewDrive("test", s)
			for range 15 {
				if err := drive.Round(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			m.quiet = true
			for range 3 {
				if err := drive.Round(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(15 * time.Minute)
			}
			jobs := drive.Jobs()
			for _, id := range server.IDs() {
				if j := jobs[id]; j == nil || j.Gone || j.Phase != collector.Running {
					t.Fatalf("seed %d: job %s is %+v", seed, id, j)
				}
				delete(jobs, id)
			}
			for id, j := range jobs {
				if !j.Gone {
					t.Errorf("seed %d: job %s was deleted and is %s", seed, id, j.Phase)
				}
			}
		})
	}
}

func TestListIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{List: true}, func(c *Config) { c.ListInterval = model.Duration(5 * time.Minute) })
		for range 120 {
			b.list()
			time.Sleep(30 * time.Second)
		}
		if n := len(b.server.Requests()); n != 12 {
			t.Errorf("%d listings in an hour", n)
		}
	})
}
