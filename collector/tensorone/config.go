package tensorone

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// Config is what the operator writes for one source of kind tensorone. Durations are written like 15s or 10m.
type Config struct {
	// BaseURL is the address of the API with its version; default https://api.tensorone.ai/v2.
	BaseURL string `yaml:"base_url"`

	// HTTP is how the API is asked: credentials, TLS, proxy, limits. The key belongs in authorization.credentials_file, or in a
	// variable that credentials_env names; a Read key with the scope training is enough. rate_limit and burst follow from
	// reads_per_hour; whoever sets them must stay within it.
	HTTP api.Config `yaml:",inline"`
	// BareKey sends the key alone in the header Authorization, without the word Bearer, as one page of the documentation shows it.
	BareKey bool `yaml:"bare_key"`

	// ReadsPerHour is how many requests the source may make in any hour; default 500, the documented limit of GET /training/*. Plans
	// may allow less: 100 on the free one. Whoever else uses the key needs a share of it, too.
	ReadsPerHour int `yaml:"reads_per_hour"`

	Jobs     []Job    `yaml:"jobs"`      // written here
	JobFiles []string `yaml:"job_files"` // files in the file_sd format; patterns are relative to the configuration file
	// DiscoveryInterval is how often files are looked at; default 30s.
	DiscoveryInterval model.Duration `yaml:"discovery_interval"`

	// List says whether GET /training/jobs is asked for jobs, which is not documented: auto (default) tries, and tries again in an hour
	// where the service refuses; on reports a refusal as an error; off does not ask. While the service lists jobs, one that
	// leaves jobs and job_files is asked for until it ends.
	List string `yaml:"list"`
	// ListInterval is how often jobs are listed, at one read for each 100; default 5m.
	ListInterval model.Duration `yaml:"list_interval"`
	// ListEnded is how long ago a job may have ended that a listing shows and that was not watched before; default 1h. Older ones are
	// left out.
	ListEnded model.Duration `yaml:"list_ended"`

	// PollIntervals is how often jobs are asked, by their phase.
	PollIntervals PollIntervals `yaml:"poll_intervals"`
	// CreationGrace is how long a job that the service does not know yet is waited for; default 10m.
	CreationGrace model.Duration `yaml:"creation_grace"`
	// Checkpoints is where they are read from: embedded (default), with the job; or endpoint, GET /training/jobs/{jobId}/checkpoints
	// too, at a second read each poll.
	Checkpoints string `yaml:"checkpoints"`
	// Budget is what a job may cost that says nothing itself: an amount above 0 and its currency, such as 500 USD, or an amount alone,
	// which is in the currency of its costs; none by default. It is shown, and compared with costs by an alert.
	Budget string `yaml:"budget"`
	// Units is what the service's numbers mean.
	Units Units `yaml:"units"`

	// Directory is what relative paths are relative to: that of the configuration file. It is set by the program.
	Directory string `yaml:"-"`
}

// Job is a job written in the configuration. All but the id is shown to people, before what the service says, and has no other effect.
type Job struct {
	ID        string `yaml:"id"`
	Name      string `yaml:"name"`
	Group     string `yaml:"group"` // the run that several jobs belong to
	Project   string `yaml:"project"`
	Owner     string `yaml:"owner"`
	BaseModel string `yaml:"base_model"`
	Kind      string `yaml:"kind"`   // such as language_model
	URL       string `yaml:"url"`    // where a person can look at the job
	Budget    string `yaml:"budget"` // what it may cost, such as 500 USD; none is no budget
}

// PollIntervals say how often a job is asked, by its phase. They grow together when the jobs do not fit reads_per_hour.
type PollIntervals struct {
	Queued  model.Duration `yaml:"queued"`  // default 2m; also while it is initializing
	Running model.Duration `yaml:"running"` // default 60s
	Paused  model.Duration `yaml:"paused"`  // default 5m
}

const (
	defaultHost  = "api.tensorone.ai"
	defaultBase  = "https://" + defaultHost + "/v2"
	defaultReads = 500
	maxReads     = 1_000_000

	listAuto = "auto"
	listOn   = "on"
	listOff  = "off"

	embedded = "embedded"
	endpoint = "endpoint"

	// minInterval is the shortest interval that can be set: tests want to be quick.
	minInterval = 100 * time.Millisecond
)

// withDefaults returns c with empty fields filled.
func (c Config) withDefaults() Config {
	c.BaseURL = cmp.Or(c.BaseURL, defaultBase)
	c.ReadsPerHour = cmp.Or(c.ReadsPerHour, defaultReads)
	c.DiscoveryInterval = cmp.Or(c.DiscoveryInterval, model.Duration(30*time.Second))
	c.List = cmp.Or(c.List, listAuto)
	c.ListInterval = cmp.Or(c.ListInterval, model.Duration(5*time.Minute))
	c.ListEnded = cmp.Or(c.ListEnded, model.Duration(time.Hour))
	c.PollIntervals.Queued = cmp.Or(c.PollIntervals.Queued, model.Duration(2*time.Minute))
	c.PollIntervals.Running = cmp.Or(c.PollIntervals.Running, model.Duration(time.Minute))
	c.PollIntervals.Paused = cmp.Or(c.PollIntervals.Paused, model.Duration(5*time.Minute))
	c.CreationGrace = cmp.Or(c.CreationGrace, model.Duration(10*time.Minute))
	c.Checkpoints = cmp.Or(c.Checkpoints, embedded)
	c.Units = c.Units.withDefaults()
	c.HTTP.SetDirectory(c.Directory)
	c.HTTP.MaxInFlight = cmp.Or(c.HTTP.MaxInFlight, 4)
	c.HTTP.RateLimit, c.HTTP.Burst = fit(c.ReadsPerHour, c.HTTP.RateLimit, c.HTTP.Burst)
	c.HTTP.SetDefaults()
	return c
}

// Validate returns the first thing that is wrong, with the name of its field.
func (c *Config) Validate() error {
	d := c.withDefaults()
	if err := checkBase(&d.HTTP, d.BaseURL); err != nil {
		return fmt.Errorf("base_url: %w", err)
	}
	if err := d.checkBudget(); err != nil {
		return err
	}
	if err := d.HTTP.Validate(); err != nil {
		return err
	}
	if c.BareKey && c.HTTP.CredentialsEnv == "" && c.HTTP.HTTP.Authorization == nil {
		return errors.New("bare_key: there is no key: set authorization or credentials_env")
	}
	if !slices.Contains([]string{listAuto, listOn, listOff}, d.List) {
		return fmt.Errorf("list: must be auto, on or off, is %q", d.List)
	}
	if !slices.Contains([]string{embedded, endpoint}, d.Checkpoints) {
		return fmt.Errorf("checkpoints: must be embedded or endpoint, is %q", d.Checkpoints)
	}
	if err := d.checkDurations(); err != nil {
		return err
	}
	if err := d.Units.check(); err != nil {
		return err
	}
	if _, err := collector.ParseBudget(d.Budget); err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	return c.checkJobs()
}

// checkBase says why an address cannot be that of the API.
func checkBase(c *api.Config, s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("is not a URL") // the parser's own words would show a password
	}
	if err := c.CheckURL(u); err != nil {
		return err
	}
	if strings.ContainsAny(s, "?#") {
		return errors.New("must not have a query or fragment")
	}
	return nil
}

func (c *Config) checkDurations() error {
	for _, d := range []struct {
		field string
		value model.Duration
	}{
		{"discovery_interval", c.DiscoveryInterval}, {"list_interval", c.ListInterval},
		{"poll_intervals.queued", c.PollIntervals.Queued}, {"poll_intervals.running", c.PollIntervals.Running},
		{"poll_intervals.paused", c.PollIntervals.Paused},
	} {
		if time.Duration(d.value) < minInterval {
			return fmt.Errorf("%s: must be at least %s, is %s", d.field, minInterval, d.value)
		}
	}
	if c.CreationGrace < 0 {
		return errors.New("creation_grace: must not be negative")
	}
	if c.ListEnded < 0 {
		return errors.New("list_ended: must not be negative")
	}
	return nil
}

func (c *Config) checkJobs() error {
	seen := map[string]int{}
	for i, j := range c.Jobs {
		if err := checkID(j.ID); err != nil {
			return fmt.Errorf("jobs[%d].id: %w", i, err)
		}
		if j.URL != "" && !webURL(j.URL) {
			return fmt.Errorf("jobs[%d].url: %q is not an http or https address", i, j.URL)
		}
		if _, err := collector.ParseBudget(j.Budget); err != nil {
			return fmt.Errorf("jobs[%d].budget: %w", i, err)
		}
		if first, twice := seen[j.ID]; twice {
			return fmt.Errorf("jobs[%d].id: %q stands at jobs[%d] already", i, j.ID, first)
		}
		seen[j.ID] = i
	}
	for i, pattern := range c.JobFiles {
		if _, err := filepath.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("job_files[%d]: %q is not a path or pattern", i, pattern)
		}
	}
	return nil
}

func (j Job) target() target {
	return target{id: j.ID, info: collector.Info{
		Provider: provider, Name: j.Name, Group: j.Group, Project: j.Project, Owner: j.Owner, BaseModel: j.BaseModel, Kind: j.Kind,
		URL: j.URL, Budget: j.Budget,
	}}
}

// patterns are the absolute patterns of files.
func (c *Config) patterns() []string {
	out := make([]string, len(c.JobFiles))
	for i, p := range c.JobFiles {
		if !filepath.IsAbs(p) {
			p = filepath.Join(c.Directory, p)
		}
		out[i] = filepath.Clean(p)
	}
	return out
}
