package program

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// trainer posts through the pass-through, as a trainer does, and returns the id that the service gave.
func (l *life) trainer(path, body string) string {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, l.base+"/proxy/rl-team"+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.ID == "" {
		l.t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return answer.ID
}

// TestATrainerOutlivesTheBridge restarts the bridge between two jobs of one trainer, which does not post its model again.
func TestATrainerOutlivesTheBridge(t *testing.T) {
	w := newWorld(t)
	w.configure("state: {directory: state}", w.source("rl-team", "proxy: {enabled: true}"))
	l := w.start()
	model := l.trainer("/preview/models", `{"entity":"acme","project":"voice","name":"agent-7","base_model":"base"}`)
	job := `{"model_id":"` + model + `","trajectory_groups":[{"trajectories":[]}]}`
	posted := l.trainer("/preview/training-jobs", job)
	for round := range 3 {
		w.step(posted, 1)
		l.shows(fmt.Sprintf(`training_group_gradient_steps_total{training_source="rl-team",training_group="agent-7"} %d`, round+1))
		if round == 1 { // also where only the source is made anew
			w.configure("state: {directory: state}", w.source("rl-team", "proxy: {enabled: true}", "read_job: true"))
			if status, body := l.do("POST", "/-/reload", "", ""); status != http.StatusOK {
				t.Fatal(body)
			}
		} else {
			l.stop()
			l = w.start()
		}
		posted = l.trainer("/preview/training-jobs", job)
		l.eventually("the job is shown", func() bool { return strings.Contains(l.metrics(), `training_job_id="`+posted+`"`) })
	}
	for line := range strings.Lines(l.metrics()) {
		if strings.HasPrefix(line, "training_job_info{") && !(strings.Contains(line, `training_group="agent-7"`) && strings.Contains(line, `training_project="voice"`)) {
			t.Errorf("another group: %s", line)
		}
	}
	if strings.Contains(l.metrics(), model) {
		t.Error("the id of the model is exposed")
	}
}
