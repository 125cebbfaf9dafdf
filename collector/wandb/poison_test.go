package wandb

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// written serves events as they are written here, paged as the service does it.
func written(t *testing.T, events []string) string {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list := events
		after, limit := r.URL.Query().Get("after"), 20
		for i, e := range events {
			if after != "" && strings.Contains(e, `"id":"`+after+`"`) {
				list = events[i+1:]
			}
		}
		if n, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil {
			limit = n
		}
		page := list[:min(limit, len(list))]
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, fmt.Sprintf(`{"object":"list","data":[%s],"has_more":%v}`, strings.Join(page, ","), len(page) < len(list)))
	}))
	t.Cleanup(web.Close)
	return web.URL
}

// TestPoisonBeforeID has events whose id comes behind what cannot be read.
func TestPoisonBeforeID(t *testing.T) {
	for name, data := range map[string]string{
		"deep":    strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		"long":    `{"t":"` + strings.Repeat("x", 1<<20) + `"}`,
		"escapes": `{"t":"` + strings.Repeat(`\"`, 1<<19) + `"}`,
		"no JSON": `{"a":b}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var events []string
			for i := range 150 {
				events = append(events, fmt.Sprintf(`{"id":"e%d","type":"gradient_step","data":{"loss":1}}`, i))
			}
			for _, i := range []int{0, 70, 71, 100, 149} {
				events[i] = fmt.Sprintf(`{"data":%s,"type":"gradient_step","id":"e%d"}`, data, i)
			}
			events = append(events, `{"data":{"error_message":`+data+`},"type":"training_failed","id":"end"}`)
			b := &bench{t: t, source: newSource(t, testConfig(written(t, events), nil), nil)}
			job := b.drain(known("job-1"))
			if job.Steps != 145 || job.Bad != 5 || job.Phase != collector.Failed {
				t.Errorf("%d steps, %d set aside, phase %v", job.Steps, job.Bad, job.Phase)
			}
			if job, u := b.poll(job); !u.Counted || u.Listed != 151 || job.Late != 0 {
				t.Errorf("counted %v: %d, %d late", u.Counted, u.Listed, job.Late)
			}
		})
	}
}

// TestPoisonEnds has a job whose last event cannot be read: it ended all the same.
func TestPoisonEnds(t *testing.T) {
	b := newBench(t, nil)
	id := b.server.AddJob(wandbtest.Job{})
	b.server.Append(id, wandbtest.Started(5), step(0),
		wandbtest.Event{Type: wandbtest.TypeFailed, Raw: []byte(`{"error_message":"` + strings.Repeat("x", 1<<20) + `"}`)})
	if job := b.drain(known(id)); job.Phase != collector.Failed || job.Bad != 0 || job.Steps != 1 {
		t.Errorf("phase %v, %d set aside, %d steps", job.Phase, job.Bad, job.Steps)
	}
}
