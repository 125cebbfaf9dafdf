package wandb

import (
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"go.yaml.in/yaml/v3"
)

func TestBudgetsOfJobs(t *testing.T) {
	dir := t.TempDir()
	s := newSource(t, testConfig("http://127.0.0.1:1/v1", func(c *Config) {
		c.Directory, c.JobFiles, c.Jobs = dir, []string{"jobs.yml"}, []Job{{ID: "a", Budget: "5 EUR"}, {ID: "b"}}
	}), nil)
	write(t, dir+"/jobs.yml", "- {targets: [a, b], labels: {budget: 6 USD, training_job_budget: 7 USD}}\n- {targets: [c], labels: {budget: a lot, owner: o}}\n"+
		"- {targets: [d], labels: {training_job_budget: 8}}\n")
	l := listOf(t, s)
	want := map[string]string{"a": "5 EUR", "b": "6 USD", "c": "a lot", "d": "8"} // the core reads them
	if ids(l) != "a b c d" || len(l.Jobs[0].Unknown) != 0 {
		t.Fatalf("jobs %q, not understood %q", ids(l), l.Jobs[0].Unknown)
	}
	for _, u := range l.Jobs {
		if u.Info.Budget != want[u.Key.ID] {
			t.Errorf("%s: %q", u.Key.ID, u.Info.Budget)
		}
		u.HasBudget = true
		j := collector.Reduce(nil, u, collector.ReduceOptions{}).Job
		if got := strings.Join(j.Labels(collector.Budget), ","); got != map[string]string{"a": "EUR", "b": "USD"}[u.Key.ID] || j.Info.Owner != map[string]string{"c": "o"}[u.Key.ID] {
			t.Errorf("%s: a budget in %q, %+v", u.Key.ID, got, j.Info)
		}
	}
}

func TestWhatABudgetCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"jobs: [{id: a}, {id: b, budget: much}]":                           "jobs[1].budget: must be an amount",
		"credentials_expire: soon":                                         "credentials_expire: must be a date",
		"job_urls: [{url: 'https://x.example', credentials_expire: soon}]": "job_urls[0].credentials_expire: must be a date",
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestTheFirstEndOfAnyCredential: an endpoint that lists jobs has one of its own.
func TestTheFirstEndOfAnyCredential(t *testing.T) {
	early, late := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), time.Date(2028, 1, 31, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		own, endpoint string
		want          time.Time
	}{
		{"", "", time.Time{}}, {"2027-01-31", "", early}, {"", "2027-01-31", early}, {"2028-01-31", "2027-01-31", early}, {"2028-01-31", "", late},
	} {
		s := newSource(t, testConfig("http://127.0.0.1:1/v1", func(cfg *Config) {
			cfg.HTTP.CredentialsExpire = c.own
			cfg.JobURLs = []JobURL{{URL: "http://127.0.0.1:1/jobs"}}
			cfg.JobURLs[0].HTTP.CredentialsExpire = c.endpoint
		}), nil)
		if got := s.CredentialExpiry(); !got.Equal(c.want) {
			t.Errorf("%q and %q: ends %v", c.own, c.endpoint, got)
		}
	}
}

// TestAJobWaitsFromItsCreation, also where the bridge sees it hours later.
func TestAJobWaitsFromItsCreation(t *testing.T) {
	job := known("a")
	now := collector.TimeOf(time.Now())
	made := now.Add(-3 * time.Hour)
	for status, want := range map[string]collector.Time{"PENDING": made, "QUEUED": made, "FAILED": now} {
		u := collector.Update{Key: job.Key, At: now, Polled: true}
		(&jobDetail{status: status, created: made}).tell(job, &u)
		if j := collector.Reduce(job, u, collector.ReduceOptions{}).Job; j.Since != want || j.Created != made {
			t.Errorf("%s: %s since %v, created %v", status, j.Phase, j.Since.Std(), j.Created.Std())
		}
	}
	again := *job
	again.Attempt = 2
	u := collector.Update{Key: job.Key, At: now, Polled: true}
	(&jobDetail{status: "PENDING", created: made}).tell(&again, &u)
	if u.PhaseAt.Known() {
		t.Error("a second attempt waits from the creation of the job")
	}
}
