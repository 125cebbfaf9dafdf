package wandb

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestProxyReadsGzip(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, `{"id":"job-1","model_id":"from-the-answer"}`)
	z.Close()
	var accepted string
	p, r, base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		accepted = r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(packed.Bytes())
	})
	_, header, answer := send(t, base+"/preview/sft-training-jobs", `{}`, http.Header{"Accept-Encoding": {"gzip, deflate, br;q=0.9, zstd"}})
	p.Wait()
	if header.Get("Content-Encoding") != "gzip" || answer != packed.String() {
		t.Error("the answer was changed")
	}
	if reg := r.jobs["job-1"]; reg.Info.Kind != "sft" || reg.Info.Group != "from-the-answer" || accepted != "gzip" {
		t.Errorf("learned %+v, accepted %q", r.jobs, accepted)
	}
}

func TestProxyLearnsNothing(t *testing.T) {
	answers := map[string]string{ // answer to failures counted
		`{"id":"../../etc"}`: "1", `{"id":7}`: "1", `[]`: "1", `{"id":"` + strings.Repeat("x", 300) + `"}`: "1", `{"id":"a/b"}`: "1", ``: "1",
	}
	for answer, failures := range answers {
		p, r, base := upstream(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) })
		if _, _, got := send(t, base+"/preview/training-jobs", `{"model_id":"m"}`, nil); got != answer {
			t.Errorf("answer %q", got)
		}
		for range 500 { // the trainer has an empty answer before the pass-through has looked at it
			if p.Failures() > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		p.Wait()
		if len(r.jobs) != 0 || strconv.FormatUint(p.Failures(), 10) != failures {
			t.Errorf("%q: learned %v, %d failures", answer, r.jobs, p.Failures())
		}
	}
	p, r, base := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		io.WriteString(w, `{"id":"job-1"}`)
	})
	send(t, base+"/preview/training-jobs", `{}`, nil)
	p.Wait()
	if len(r.jobs) != 0 || p.Failures() != 0 {
		t.Error("an answer that is no success taught something")
	}
}

func TestRegistrationFails(t *testing.T) {
	p, r, base := upstream(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"id":"job-1"}`) })
	r.fail = errors.New("the disk is full")
	status, _, answer := send(t, base+"/preview/training-jobs", `{}`, nil)
	p.Wait()
	if status != 200 || answer != `{"id":"job-1"}` || p.Failures() != 1 {
		t.Errorf("status %d, answer %q, %d failures", status, answer, p.Failures())
	}
}

func TestModelTable(t *testing.T) {
	m := models{limit: 3}
	for _, id := range []string{"a", "b", "c"} {
		m.put(id, modelInfo(id, map[string]string{"name": "name-" + id}))
	}
	m.info("a")
	m.put("d", modelInfo("d", map[string]string{"name": "name-d"}))
	for id, group := range map[string]string{"a": "name-a", "b": "b", "c": "name-c", "d": "name-d"} {
		if got := m.info(id).Group; got != group {
			t.Errorf("group of %s is %q, want %q", id, got, group)
		}
	}
}
