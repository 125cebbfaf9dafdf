package tensorone

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/tensorone/tensoronetest"
)

func budgetOf(t *testing.T, j *collector.Job, currency string) float64 {
	t.Helper()
	v, _ := j.Reading(collector.Budget, currency)
	if labels := j.Labels(collector.Budget); v != 0 && len(labels) != 1 {
		t.Errorf("budgets in %q", labels)
	}
	return v
}

// TestBudgets: the configuration has one for every job, files and the configuration for some, and what cannot be read is none.
func TestBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jobs.yml")
		text := "- {targets: [all], labels: {owner: o}}\n- {targets: [own], labels: {budget: 7 USD}}\n- {targets: [bare], labels: {training_job_budget: '8'}}\n" +
			"- {targets: [free], labels: {budget: none}}\n- {targets: [bad], labels: {budget: a lot, owner: o}}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b := newBench(t, tensoronetest.Options{}, func(c *Config) {
			c.List, c.Budget, c.Units.Currency, c.JobFiles = listOff, "500", "CHF", []string{path}
			c.Jobs = []Job{{ID: "written", Budget: "9 CHF"}}
		})
		l := b.list()
		bad := 0
		for range 2 { // a listing comes again
			for _, u := range b.list().Jobs {
				bad += len(u.Unknown)
			}
		}
		jobs := b.drive.Jobs()
		for id, want := range map[string]collector.Money{
			"all": {Amount: 500, Currency: "CHF"}, "own": {Amount: 7, Currency: "USD"}, "bare": {Amount: 8, Currency: "CHF"}, "free": {},
			"bad": {Amount: 500, Currency: "CHF"}, "written": {Amount: 9, Currency: "CHF"},
		} {
			if got := budgetOf(t, jobs[id], want.Currency); got != want.Amount {
				t.Errorf("%s: %v, want %v", id, got, want)
			}
		}
		if len(l.Jobs) != 6 || bad != 0 || jobs["bad"].Info.Owner != "o" {
			t.Errorf("%d jobs, %d not understood, %+v", len(l.Jobs), bad, jobs["bad"].Info)
		}
		if !strings.Contains(b.log.String(), "[4].labels.budget: must be an amount") {
			t.Errorf("the log does not say which: %s", b.log)
		}
	})
}

// TestABudgetIsInTheCurrencyOfTheCosts, or nothing could compare the two.
func TestABudgetIsInTheCurrencyOfTheCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, tensoronetest.Options{}, func(c *Config) { name("job-1")(c); c.Budget = "500" })
		j := running()
		j.ID, j.Costs = "job-1", &tensoronetest.Costs{GPU: 3}
		b.server.AddJob(j)
		b.list()
		job, _ := b.poll("job-1")
		currency := job.Labels(collector.Cost)
		if len(currency) != 1 || budgetOf(t, job, currency[0]) != 500 {
			t.Errorf("costs in %q, budget in %q", currency, job.Labels(collector.Budget))
		}
	})
}

func TestBudgetsThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"budget: a lot":  `budget: must be an amount above 0 and a currency, such as "500 USD"`,
		"budget: 0":      "budget: must be an amount above 0",
		"budget: -5 USD": "budget: must be",
		"jobs: [{id: a, budget: 5}, {id: b, budget: 5 U S D}]": "jobs[1].budget: must be",
		"credentials_expire: soon":                             "credentials_expire: must be a date",
	} {
		var c Config
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"budget: 500", "budget: 1.5 EUR", "budget: none", "jobs: [{id: a, budget: 500}]"} {
		var c Config
		if err := yaml.Unmarshal([]byte(text), &c); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestABareKeyMayTellItsEnd, as one with the word Bearer before it does.
func TestABareKeyMayTellItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for end, payload := range map[int64]string{1_800_000_000: `{"exp":1800000000}`, 1_900_000_000: `{"exp":1900000000}`, 0: `{}`} {
		if err := os.WriteFile(path, []byte("x."+base64.RawURLEncoding.EncodeToString([]byte(payload))+".x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, bare := range []string{"", "bare_key: true\n"} {
			var c Config
			if err := yaml.Unmarshal([]byte(bare+"authorization: {credentials_file: "+path+"}"), &c); err != nil {
				t.Fatal(err)
			}
			s, err := New(c, collector.Env{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			want := time.Time{}
			if end != 0 {
				want = time.Unix(end, 0)
			}
			if got := s.CredentialExpiry(); !got.Equal(want) {
				t.Errorf("%s%s: ends %v", bare, payload, got)
			}
			s.Close()
		}
	}
}
