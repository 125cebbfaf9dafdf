package wandb

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// Config is what the operator writes for one source of kind wandb. Durations are written like 15s or 10m.
type Config struct {
	// BaseURL is the address of the API with its path prefix, which is kept. The documented ones are
	// https://api.training.wandb.ai/v1 (the default) and https://forge.coreweave.com/api/training/v1.
	BaseURL string `yaml:"base_url"`

	// HTTP is how the API is asked: credentials, TLS, proxy, limits. Where it names no credential, that of the environment
	// variable WANDB_API_KEY is used.
	HTTP api.Config `yaml:",inline"`

	// The API cannot list jobs. Their ids come from these three, and from whoever registers them with the bridge.
	Jobs     []Job    `yaml:"jobs"`      // written here
	JobFiles []string `yaml:"job_files"` // files in the file_sd format; patterns are relative to the configuration file
	JobURLs  []JobURL `yaml:"job_urls"`  // endpoints in the http_sd format

	// DiscoveryInterval is how often files are looked at; default 5s.
	DiscoveryInterval model.Duration `yaml:"discovery_interval"`
	// PollIntervals is how often jobs are asked for events.
	PollIntervals PollIntervals `yaml:"poll_intervals"`
	// CreationGrace is how long a job that the service does not know yet is waited for; default 10m.
	CreationGrace model.Duration `yaml:"creation_grace"`

	// ReadJob asks for the job itself too with every poll, for the status and the times that the service was seen to
	// give there without documenting them.
	ReadJob bool `yaml:"read_job"`
	// StepDurationKey names the number in a gradient step that is its duration in seconds; none by default.
	StepDurationKey string `yaml:"step_duration_key"`

	// Proxy is the recording pass-through for trainers.
	Proxy ProxyConfig `yaml:"proxy"`

	// Directory is what relative paths are relative to: that of the configuration file. It is set by the program.
	Directory string `yaml:"-"`
}

// Job is a job written in the configuration. All but the id is shown to people and has no other effect.
type Job struct {
	ID        string `yaml:"id"`
	Name      string `yaml:"name"`
	Group     string `yaml:"group"` // the run that several jobs belong to
	Project   string `yaml:"project"`
	Owner     string `yaml:"owner"`
	BaseModel string `yaml:"base_model"`
	Kind      string `yaml:"kind"`   // such as rl or sft
	URL       string `yaml:"url"`    // where a person can look at the job
	Budget    string `yaml:"budget"` // what it may cost, such as 500 USD; none is no budget
}

// JobURL is an endpoint that lists jobs. It is asked with its own credentials, never those of the API.
type JobURL struct {
	URL             string         `yaml:"url"`
	RefreshInterval model.Duration `yaml:"refresh_interval"` // default 30s
	HTTP            api.Config     `yaml:",inline"`
}

// PollIntervals say how often a job is asked, by its phase.
type PollIntervals struct {
	Queued  model.Duration `yaml:"queued"`  // default 60s
	Running model.Duration `yaml:"running"` // default 15s
}

// ProxyConfig switches the recording pass-through.
type ProxyConfig struct {
	Enabled bool `yaml:"enabled"`
}

// keyVariable is the environment variable that W&B's own tools read.
const keyVariable = "WANDB_API_KEY"

// withDefaults returns c with empty fields filled.
func (c Config) withDefaults() Config {
	c.BaseURL = cmp.Or(c.BaseURL, "https://api.training.wandb.ai/v1")
	c.DiscoveryInterval = cmp.Or(c.DiscoveryInterval, model.Duration(5*time.Second))
	c.PollIntervals.Queued = cmp.Or(c.PollIntervals.Queued, model.Duration(60*time.Second))
	c.PollIntervals.Running = cmp.Or(c.PollIntervals.Running, model.Duration(15*time.Second))
	c.CreationGrace = cmp.Or(c.CreationGrace, model.Duration(10*time.Minute))
	c.HTTP.SetDirectory(c.Directory)
	c.HTTP.SetDefaults()
	if !hasCredential(&c.HTTP) && os.Getenv(keyVariable) != "" {
		c.HTTP.CredentialsEnv = keyVariable
	}
	c.JobURLs = slices.Clone(c.JobURLs)
	for i := range c.JobURLs {
		u := &c.JobURLs[i]
		u.RefreshInterval = cmp.Or(u.RefreshInterval, model.Duration(30*time.Second))
		u.HTTP.SetDirectory(c.Directory)
		u.HTTP.MaxBodyBytes = cmp.Or(u.HTTP.MaxBodyBytes, maxTargetBytes)
		u.HTTP.MaxItems = cmp.Or(u.HTTP.MaxItems, maxTargets)
		u.HTTP.SetDefaults()
	}
	return c
}

// hasCredential reports whether the operator chose how to authorize.
func hasCredential(c *api.Config) bool {
	h := &c.HTTP
	return c.CredentialsEnv != "" || h.Authorization != nil || h.BasicAuth != nil || h.OAuth2 != nil || h.BearerToken != "" ||
		h.BearerTokenFile != ""
}

// Validate returns the first thing that is wrong, with the name of its field.
func (c *Config) Validate() error {
	d := c.withDefaults()
	if err := checkURL(&d.HTTP, d.BaseURL); err != nil {
		return fmt.Errorf("base_url: %w", err)
	}
	if strings.ContainsAny(d.BaseURL, "?#") {
		return errors.New("base_url: must not have a query or fragment")
	}
	if err := d.HTTP.Validate(); err != nil {
		return err
	}
	if err := d.checkDurations(); err != nil {
		return err
	}
	seen := map[string]int{}
	for i, j := range c.Jobs {
		if err := j.check(); err != nil {
			return fmt.Errorf("jobs[%d].%w", i, err)
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
	for i := range d.JobURLs {
		if err := d.JobURLs[i].check(); err != nil {
			return fmt.Errorf("job_urls[%d].%w", i, err)
		}
	}
	return nil
}

// minInterval is the shortest interval that can be set: the service allows no more than about a request a second and job
// without asking for trouble, and tests want to be quick.
const minInterval = 100 * time.Millisecond

func (c *Config) checkDurations() error {
	for _, d := range []struct {
		field string
		value model.Duration
	}{
		{"discovery_interval", c.DiscoveryInterval}, {"poll_intervals.queued", c.PollIntervals.Queued},
		{"poll_intervals.running", c.PollIntervals.Running},
	} {
		if time.Duration(d.value) < minInterval {
			return fmt.Errorf("%s: must be at least %s, is %s", d.field, minInterval, d.value)
		}
	}
	if c.CreationGrace < 0 {
		return errors.New("creation_grace: must not be negative")
	}
	return nil
}

func (u *JobURL) check() error {
	if err := checkURL(&u.HTTP, u.URL); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if time.Duration(u.RefreshInterval) < minInterval {
		return fmt.Errorf("refresh_interval: must be at least %s, is %s", minInterval, u.RefreshInterval)
	}
	return u.HTTP.Validate()
}

func (j Job) check() error {
	if err := checkID(j.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if j.URL != "" && !webURL(j.URL) {
		return fmt.Errorf("url: %q is not an http or https address", j.URL)
	}
	if _, err := collector.ParseBudget(j.Budget); err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	return nil
}

func (j Job) target() target {
	return target{id: j.ID, info: collector.Info{
		Provider: provider, Name: j.Name, Group: j.Group, Project: j.Project, Owner: j.Owner, BaseModel: j.BaseModel, Kind: j.Kind,
		URL: j.URL, Budget: j.Budget,
	}}
}

// checkURL says why an address cannot be one that requests are made to.
func checkURL(c *api.Config, s string) error {
	if s == "" {
		return errors.New("required")
	}
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("is not a URL") // the parser's own words would show a password
	}
	return c.CheckURL(u)
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

// escape makes a value one segment of a path.
func escape(s string) string { return url.PathEscape(s) }
