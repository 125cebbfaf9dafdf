package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return start.Add(d + 400*time.Millisecond) }
	job := func(id, name string) map[string]string {
		return map[string]string{
			"alertname": "JobFailed", "severity": "critical", "training_source": "wandb", "training_job_id": id, "training_job_name": name,
			"training_project": "p", "training_owner": "o",
		}
	}
	gpu := func(index string) map[string]string {
		return map[string]string{
			"alertname": "GpuXid", "instance": "node1:9877", "job": "trainbridge", "hw_id": "GPU-" + index, "nvml_gpu_index": index, "nvml_xid": "79",
		}
	}
	timeline := Timeline{
		Start: start, End: at(3 * time.Hour), Scrapes: 360, FailedScrapes: 2,
		ScrapeErrors: []Incident{{Text: "connection\nrefused", Times: 2}}, Trouble: []Incident{{Text: "group a: many-to-many", Times: 1}},
		Alerts: []Alert{
			{Name: "JobFailed", Labels: job("1", "a"), Fired: at(12*time.Minute + 30*time.Second), Resolved: at(72*time.Minute + 30*time.Second)},
			{Name: "GpuXid", Labels: gpu("3"), Fired: at(20 * time.Minute)},
			{Name: "JobFailed", Labels: job("2", "b\x1b[2J"), Fired: at(30 * time.Minute), Resolved: at(90 * time.Minute)},
			{Name: "JobStalled", Labels: job("3", "c"), Pending: at(30 * time.Minute)},
			{Name: "JobStalled", Labels: job("4", "d"), Pending: at(30 * time.Minute)},
			{Name: "Same", Labels: job("5", "e"), Fired: at(40 * time.Minute), Resolved: at(41 * time.Minute)},
			{Name: "Same", Labels: job("6", "e"), Fired: at(40 * time.Minute), Resolved: at(41 * time.Minute)},
		},
	}
	want := strings.TrimPrefix(`
ALERT      WHICH                                                                                     FIRED    FOR      RESOLVED
JobFailed  source=wandb job_name=a                                                                   +12m30s  1h       +1h12m30s
JobFailed  source=wandb job_name=b�[2J                                                               +30m     1h       +1h30m
GpuXid     gpu_index=3 instance=node1:9877 xid=79                                                    +20m     2h40m    still firing
Same       source=wandb job_id=5 job_name=e owner=o project=p severity=critical                      +40m     1m       +41m
Same       source=wandb job_id=6 job_name=e owner=o project=p severity=critical                      +40m     1m       +41m

Pending, but never fired: JobStalled (2).
3h passed; 360 scrapes, 2 of them failed.
Scrape failed: connection refused (2 times).
Trouble: group a: many-to-many.
`, "\n")
	var b strings.Builder
	if err := timeline.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if squeeze(b.String()) != squeeze(want) {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
}

// squeeze makes one space of many: a table's columns are as wide as they must be.
func squeeze(text string) string {
	for strings.Contains(text, "  ") {
		text = strings.ReplaceAll(text, "  ", " ")
	}
	return text
}

func TestTableSumsUp(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	timeline := Timeline{Start: start, End: start.Add(time.Hour)}
	for i := range 50 {
		a := Alert{Name: "A", Labels: map[string]string{"training_job_id": fmt.Sprintf("%02d", i)}, Fired: start.Add(time.Duration(i) * time.Minute)}
		if i%2 == 0 {
			a.Resolved = a.Fired.Add(5 * time.Minute)
		}
		timeline.Alerts = append(timeline.Alerts, a)
	}
	var b strings.Builder
	if err := timeline.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); strings.Count(text, "\nA ") != tableRows+1 || !strings.Contains(squeeze(text), "A and 40 more +10m to +49m up to 49m 20 still firing\n") {
		t.Error(text)
	}
	b.Reset()
	if err := (Timeline{Start: start, End: start.Add(24 * time.Hour)}).WriteTable(&b); err != nil || !strings.HasPrefix(b.String(), "No alert fired.\n\n1d passed") {
		t.Errorf("%v %s", err, b.String())
	}
}
