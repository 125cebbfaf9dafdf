package program

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestReload(t *testing.T) {
	w := newWorld(t)
	a, b := w.train(1), w.train(2)
	kept := w.source("kept", "jobs: [{id: "+a+"}]")
	w.configure("", kept, w.source("changing"))
	l := w.start()
	l.shows(steps("kept", a, 1))
	reload := func(want int) string {
		t.Helper()
		status, body := l.do("POST", "/-/reload", "", "")
		if status != want {
			t.Errorf("reload: %d %s", status, body)
		}
		return body
	}
	w.configure("metrics: {job_labels: [training_job_name]}", kept, w.source("changing", "jobs: [{id: "+b+", name: bee}]"))
	reload(200)
	l.eventually("the changed source is read", func() bool {
		return strings.Contains(l.metrics(), `training_job_gradient_steps_total{training_source="changing",training_job_id="`+b+`",training_job_name="bee"} 2`)
	})
	w.configure("retention: 5h", kept, w.source("changing", "jobz: []"))
	if body := reload(500); !strings.Contains(body, "sources[1].jobz: unknown field") {
		t.Errorf("the answer to a bad file: %s", body)
	}
	l.shows("trainbridge_config_last_reload_successful 0")
	w.step(b, 1)
	l.eventually("the old configuration goes on", func() bool { return strings.Contains(l.metrics(), `training_job_name="bee"} 3`) })
	w.configure("retention: 5h", kept)
	reload(200)
	l.shows("trainbridge_config_last_reload_successful 1")
	if status, _ := l.get("/probe?source=changing"); status != 404 {
		t.Errorf("a removed source answers %d", status)
	}
	if log := l.out.String(); !strings.Contains(log, "settings=retention") || strings.Count(log, "was not reloaded") != 1 {
		t.Errorf("the log is\n%s", log)
	}
}

// TestReloadsDoNotLeak alternates good, changed, bad and half-written files while the bridge polls.
func TestReloadsDoNotLeak(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand reloads take seconds")
	}
	w := newWorld(t)
	id := w.train(1)
	files := make([]string, 4)
	for i := range files {
		w.configure("state: {directory: state}", w.source("kept", "jobs: [{id: "+id+"}]"),
			w.source("changing", fmt.Sprintf("burst: %d", 100+i), "jobs: [{id: "+id+"}]", "proxy: {enabled: true}"))
		data, err := os.ReadFile(w.file)
		if err != nil {
			t.Fatal(err)
		}
		files[i] = strings.Replace(string(data), "burst: 1000\n    burst", "burst", 1)
	}
	files[1] = files[1][:len(files[1])/2]
	files[3] += "nonsense: 1\n"
	w.write("trainbridge.yml", files[0])
	l := w.start()
	l.shows(steps("changing", id, 1))
	var first int
	for i := range 1000 {
		w.write("trainbridge.yml", files[i%4])
		want := []int{200, 500, 200, 500}[i%4]
		if status, body := l.do("POST", "/-/reload", "", ""); status != want {
			t.Fatalf("reload %d: %d %s", i, status, body)
		}
		if i == 100 {
			first = runtime.NumGoroutine()
		}
	}
	w.write("trainbridge.yml", files[0])
	l.do("POST", "/-/reload", "", "")
	l.eventually("goroutines end", func() bool { return runtime.NumGoroutine() < first+30 })
	w.step(id, 5)
	l.shows(steps("kept", id, 6))
	l.shows(steps("changing", id, 6))
}

func TestReloadByHTTPIsOff(t *testing.T) {
	w := newWorld(t)
	w.configure("", w.source("rl-team"))
	l := startProgram(t, "--config.file="+w.file, "--web.listen-address=127.0.0.1:0") // run is the default
	if status, body := l.do("POST", "/-/reload", "", ""); status != http.StatusForbidden {
		t.Errorf("%d %s", status, body)
	}
}

// TestUnchangedSourcesAreKept looks inside: what did not change keeps running, what changed keeps its counters.
func TestUnchangedSourcesAreKept(t *testing.T) {
	w := newWorld(t)
	b := newBridge(webOptions{}, slog.New(slog.DiscardHandler), noEnv, nil)
	apply := func(top string, sources ...string) error {
		w.configure(top, sources...)
		s, err := loadConfig(w.file, noEnv)
		if err != nil {
			t.Fatal(err)
		}
		if b.store == nil {
			if err := b.open(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		return b.apply(t.Context(), s)
	}
	kept := w.source("kept")
	if err := apply("", kept, w.source("changing"), w.source("going")); err != nil {
		t.Fatal(err)
	}
	first, push, metrics := maps.Clone(b.sources), b.push, b.routes.Load().metrics
	if err := apply("# a comment", kept, w.source("changing", "read_job: true"), w.source("coming")); err != nil {
		t.Fatal(err)
	}
	if b.sources["kept"] != first["kept"] || b.sources["kept"].polls != first["kept"].polls || b.push != push || b.routes.Load().metrics != metrics {
		t.Error("something that did not change was made anew")
	}
	if b.sources["changing"] == first["changing"] || b.sources["changing"].health != first["changing"].health {
		t.Error("a changed source must be made anew and keep its counters")
	}
	for _, name := range []string{"changing", "going"} {
		select {
		case <-first[name].polls.done:
		default:
			t.Errorf("the old source %s still polls", name)
		}
	}
	now := maps.Clone(b.sources)
	if err := apply("", kept, fromVariable(w.source("changing"))); err == nil {
		t.Fatal("a source that cannot be made was taken")
	}
	if !maps.Equal(b.sources, now) {
		t.Error("a configuration that was refused changed something")
	}
	if err := b.stop(&server{http: &http.Server{}}); err != nil {
		t.Error(err)
	}
}
