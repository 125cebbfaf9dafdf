package program

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

func TestJobsShow(t *testing.T) {
	w := newWorld(t)
	id := w.train(3)
	w.configure("state: {directory: state}", w.source("rl-team", "jobs: [{id: "+id+", name: agent}]"), w.source("empty"))
	l := w.start()
	l.shows(steps("rl-team", id, 3))
	w.step(id, 2)
	l.shows(steps("rl-team", id, 5))
	w.service.Append(id, wandbtest.Failed("CUDA out of memory"))
	l.shows(phase("rl-team", id, "failed"))
	l.shows(`training_source_jobs_ended_total{training_source="rl-team",training_job_result="failure",error_type="out_of_memory"} 1`)
	l.shows("trainbridge_state_durable 1")
	l.shows("trainbridge_config_last_reload_successful 1")
	checkPages(t, l)
	began := time.Now()
	if code := l.stop(); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("exit code %d after %v\n%s", code, time.Since(began), l.out.String())
	}
}

func checkPages(t *testing.T, l *life) {
	t.Helper()
	for _, c := range []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/-/healthy", 200, "healthy"},
		{"GET", "/", 200, "rl-team"},
		{"POST", "/", 405, "use GET"},
		{"GET", "/nothing", 404, ""},
		{"GET", "/debug/pprof/", 404, ""},
		{"GET", "/probe?source=rl-team", 200, `training_job_info{training_source="rl-team"`},
		{"GET", "/probe?source=empty", 200, `training_source_jobs{training_source="empty"`},
		{"GET", "/probe?source=nobody", 404, "no source"},
		{"GET", "/probe", 400, "name a source"},
		{"POST", "/metrics", 405, ""},
		{"GET", "/-/reload", 405, "POST"},
		{"POST", "/api/v1/jobs", 404, "api: {jobs: true}"},
		{"POST", "/proxy/rl-team/preview/models", 404, "proxy: {enabled: true}"},
	} {
		status, body := l.do(c.method, c.path, "", "")
		if status != c.status || !strings.Contains(body, c.text) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
		if strings.HasPrefix(c.path, "/probe?source=empty") && strings.Contains(body, `"rl-team"`) {
			t.Error("a probe shows another source")
		}
	}
}

func TestARestartGoesOn(t *testing.T) {
	w := newWorld(t)
	id := w.train(3)
	w.configure("state: {directory: state}", w.source("rl-team", "jobs: [{id: "+id+"}]"))
	l := w.start()
	l.shows(steps("rl-team", id, 3))
	read := `training_source_events_total{training_source="rl-team",training_event_type="gradient_step"} 3`
	l.shows(read)
	l.stop()
	w.service.SetFaults(wandbtest.Faults{Hang: true})
	l = w.start()
	if status, body := l.get("/metrics"); status != 200 || !strings.Contains(body, steps("rl-team", id, 3)) || !strings.Contains(body, read) {
		t.Errorf("the first scrape after a restart is %d and lacks what was committed", status)
	}
	w.step(id, 4)
	w.service.SetFaults(wandbtest.Faults{})
	l.shows(steps("rl-team", id, 7))
}

// TestAStopWaitsForNobody: the service never answers, nor do the trainers' requests through it, nor the OTLP receiver.
func TestAStopWaitsForNobody(t *testing.T) {
	w := newWorld(t)
	id := w.train(1)
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	w.configure("otlp: {endpoint: \"http://"+deaf.Addr().String()+"\", interval: 1s}", w.source("rl-team", "jobs: [{id: "+id+"}]", "proxy: {enabled: true}"))
	l := w.start()
	l.shows(steps("rl-team", id, 1))
	w.service.SetFaults(wandbtest.Faults{Hang: true})
	go l.get("/proxy/rl-team/preview/training-jobs/" + id)
	time.Sleep(300 * time.Millisecond)
	began := time.Now()
	if code := l.stop(); code != 0 || time.Since(began) > 8*time.Second {
		t.Errorf("exit code %d after %v\n%s", code, time.Since(began), l.out.String())
	}
}

func TestRegisteredJobsAreWatched(t *testing.T) {
	w := newWorld(t)
	id := w.train(2)
	w.configure("state: {directory: state}\napi: {jobs: true}", w.source("rl-team"))
	l := w.start()
	body := fmt.Sprintf(`{"source": "rl-team", "id": %q, "name": "agent", "group": "run", "fresh": true}`, id)
	if status, answer := l.do("POST", "/api/v1/jobs", "application/json", body); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	l.shows(steps("rl-team", id, 2))
	l.shows(`training_group_gradient_steps_total{training_source="rl-team",training_group="run"} 2`)
	l.shows(`trainbridge_registrations_total{result="success",training_source="rl-team",via="api"} 1`)
	if status, answer := l.do("POST", "/api/v1/jobs", "application/json", `{"source": "nobody", "id": "a"}`); status != 404 {
		t.Errorf("%d %s", status, answer)
	}
	l.stop()
	l = w.start()
	l.shows(steps("rl-team", id, 2))
}

func TestATrainerBehindTheProxy(t *testing.T) {
	w := newWorld(t)
	fleet := wandbtest.NewFleet(w.service, wandbtest.FleetOptions{Seed: 1, Speed: 600, Scenario: "healthy"})
	training := start(fleet.Run)
	t.Cleanup(func() { _ = training.stop(context.Background()) })
	w.configure("", w.source("rl-team", "proxy: {enabled: true}"))
	l := w.start()
	var job string
	err := wandbtest.Trainer(t.Context(), l.base+"/proxy/rl-team", testKey, wandbtest.TrainerOptions{
		Name: "agent-7", Jobs: 2, Poll: 20 * time.Millisecond, OnJob: func(id string) { job = id },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.shows(phase("rl-team", job, "succeeded"))
	l.shows(`trainbridge_registrations_total{result="success",training_source="rl-team",via="proxy"} 2`)
	if !strings.Contains(l.metrics(), `training_group_jobs_ended_total{training_source="rl-team",training_group="agent-7",training_job_result="success"} 2`) {
		t.Error("the jobs of the trainer have no group")
	}
}

// TestSecretsNeverShow has a canary in every place where a secret can stand, and looks for it in everything that comes out.
func TestSecretsNeverShow(t *testing.T) {
	const canary = "hunter2-canary"
	w := newWorld(t)
	w.service.SetKey(canary)
	id := w.train(1)
	w.configure(`state: {directory: state}
otlp: {endpoint: "`+w.api+`/otlp", headers: {x-api-key: `+canary+`}, interval: 1s}`,
		"  - name: inline\n    kind: wandb\n    base_url: "+w.api+"\n    authorization: {credentials: "+canary+"}\n    jobs: [{id: "+id+"}]\n"+
			"    http_headers: {X-Secret: {secrets: ["+canary+"]}}\n    poll_intervals: {running: 100ms}\n    proxy: {enabled: true}\n",
		"  - name: refused\n    kind: wandb\n    base_url: "+w.api+"\n    basic_auth: {username: a, password: "+canary+"}\n"+
			"    job_urls: [{url: \""+w.api+"/list?token="+canary+"\", authorization: {credentials: "+canary+"}, refresh_interval: 100ms}]\n"+
			"    jobs: [{id: "+id+"}]\n    poll_intervals: {queued: 100ms, running: 100ms}\n",
		"  - name: dead\n    kind: wandb\n    base_url: http://127.0.0.1:1/v1\n    authorization: {credentials: "+canary+"}\n"+
			"    proxy_url: \"http://user:"+canary+"@127.0.0.1:1\"\n    jobs: [{id: "+id+"}]\n    poll_intervals: {queued: 100ms}\n")
	l := w.start("--log.level=debug")
	l.shows(steps("inline", id, 1))
	l.eventually("the other sources fail", func() bool {
		return strings.Contains(l.metrics(), `training_source_up{training_source="refused"} 0`) &&
			strings.Contains(l.metrics(), `training_source_up{training_source="dead"} 0`)
	})
	time.Sleep(1500 * time.Millisecond) // for a push
	var all strings.Builder
	for _, path := range []string{"/metrics", "/", "/probe?source=inline", "/-/ready", "/proxy/inline/preview/nothing", "/proxy/dead/x", "/nothing"} {
		_, body := l.get(path)
		all.WriteString(body)
	}
	data, err := os.ReadFile(w.file)
	if err != nil {
		t.Fatal(err)
	}
	w.write("trainbridge.yml", string(data)+"    rate_limit: "+canary+"\n    burst: {"+canary+": 1}\n")
	_, body := l.do("POST", "/-/reload", "", "")
	all.WriteString(body)
	l.stop()
	all.WriteString(l.out.String())
	err = filepath.WalkDir(filepath.Join(w.dir, "state"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(all.String()) {
		if strings.Contains(line, canary) {
			t.Errorf("a secret shows: %s", line)
		}
	}
	if !strings.Contains(all.String(), "level=WARN") {
		t.Error("nothing failed: the test looks at too little")
	}
}

func TestTheListenerIsGuarded(t *testing.T) {
	w := newWorld(t)
	w.configure("api: {jobs: true}", w.source("rl-team"))
	// The password is "secret".
	w.write("web.yml", "basic_auth_users: {watcher: $2a$04$56jDInfA8bzwiY08APDXEufSEUAWyqx3RVjGhF2cJaaYjMWVXokMu}\n")
	l := startUnready(t, "run", "--config.file="+w.file, "--web.listen-address=127.0.0.1:0", "--web.config.file="+filepath.Join(w.dir, "web.yml"))
	for _, path := range []string{"/", "/metrics", "/-/reload", "/api/v1/jobs", "/probe?source=rl-team", "/proxy/rl-team/x", "/-/healthy"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if status, _ := l.do(method, path, "", ""); status != http.StatusUnauthorized {
				t.Errorf("%s %s without a password: %d", method, path, status)
			}
		}
	}
	l.base = strings.Replace(l.base, "http://", "http://watcher:secret@", 1)
	if status, _ := l.get("/metrics"); status != http.StatusOK {
		t.Errorf("with the password: %d", status)
	}
}

func TestATakenAddressFailsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.configure("", w.source("rl-team"))
	l := w.start()
	var out buffer
	p := &program{stdout: &out, stderr: &out, getenv: noEnv}
	code := p.run(t.Context(), []string{"run", "--config.file=" + w.file, "--web.listen-address=" + strings.TrimPrefix(l.base, "http://")})
	if code != 1 || !strings.Contains(out.String(), "listen on 127.0.0.1:") {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}
