package runai

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// Config is what the operator writes for one source of kind runai. Durations are written like 15s or 10m.
type Config struct {
	// BaseURL is the address of the user interface: https://<tenant>.run.ai, or that of a control plane of one's own. The paths
	// of the API, which begin with /api, are added to it.
	BaseURL string `yaml:"base_url"`

	// HTTP is how the API is asked: TLS, proxy, limits; authorization only for a ready token instead of Token.
	HTTP api.Config `yaml:",inline"`
	// Token is the credential that is exchanged for tokens.
	Token TokenConfig `yaml:"token"`

	// Which workloads are watched: those that match all that is set here, and for each list one of its words, whatever their case.
	Projects   []string `yaml:"projects"`   // names
	Types      []string `yaml:"types"`      // such as DistributedWorkload, as the API names them
	Categories []string `yaml:"categories"` // such as Train; a workload without one, as before version 2.22, passes
	// Filters are conditions for the API as it documents them, such as "name=^bert" or "submittedBy==ci@example.com". All must hold.
	Filters []string `yaml:"filters"`

	// Deleted reads the list of workloads that were deleted in the last DeletedWithin; true and 1h by default.
	Deleted       *bool          `yaml:"deleted"`
	DeletedWithin model.Duration `yaml:"deleted_within"`
	// EndedWithin is how long ago a workload may have ended and still be taken up; default 24h. Ended workloads stay listed until
	// somebody deletes them, and there may be very many.
	EndedWithin model.Duration `yaml:"ended_within"`

	// Events, History and Metrics say what is read of each workload; all true by default.
	Events  *bool `yaml:"events"`
	History *bool `yaml:"history"`
	Metrics *bool `yaml:"metrics"`
	// Pods lists the pods of running workloads, once every MetricsInterval, so that a workload can be joined to what else is known of
	// its pods, such as the GPUs that a kubelet gave them; false by default. It costs one request for every 500 pods of all that the
	// account may see, whatever the other settings leave out, because pods cannot be filtered as workloads can.
	Pods bool `yaml:"pods"`
	// Revisions makes a job of every revision of an inference workload; false by default.
	Revisions bool `yaml:"revisions"`

	// EventWindow is how much later than its own time an event may be listed and still be found at once; default 10m.
	EventWindow model.Duration `yaml:"event_window"`
	// MetricsInterval is how often metrics of a running workload are asked for; default 60s.
	MetricsInterval model.Duration `yaml:"metrics_interval"`
	// GPUUtilization is the unit of that metric, percent or ratio; default percent, as the metric's older form documents.
	GPUUtilization string `yaml:"gpu_utilization"`
	// PollIntervals is how often workloads are listed, and asked for events, by their phase.
	PollIntervals PollIntervals `yaml:"poll_intervals"`
	// PageSize is how many rows of a list are asked for at once; default 500, the most that the API gives.
	PageSize int `yaml:"page_size"`

	// GroupBy says which workloads belong together: none (the default), project, department, or name_prefix, which is the name
	// without a number at its end.
	GroupBy string `yaml:"group_by"`
	// JobURL is where a person can look at a workload, with {id}, {name} and {project} in it. The API does not tell; none by default.
	JobURL string `yaml:"job_url"`

	// Directory is what relative paths are relative to: that of the configuration file. It is set by the program.
	Directory string `yaml:"-"`
}

// PollIntervals say how often the API is asked.
type PollIntervals struct {
	List    model.Duration `yaml:"list"`    // all workloads; default 30s
	Queued  model.Duration `yaml:"queued"`  // a workload that waits; default 60s
	Running model.Duration `yaml:"running"` // default 15s
	Paused  model.Duration `yaml:"paused"`  // default 120s
}

// The words for Config.GroupBy.
const (
	groupNone       = "none"
	groupProject    = "project"
	groupDepartment = "department"
	groupPrefix     = "name_prefix"
)

const (
	percent = "percent"
	ratio   = "ratio"

	// maxPage is the largest page that the API gives.
	maxPage = 500
	// minInterval is the shortest interval that can be set.
	minInterval = 100 * time.Millisecond
)

// withDefaults returns c with empty fields filled.
func (c Config) withDefaults() Config {
	c.BaseURL = trimBase(c.BaseURL)
	yes := true
	for _, b := range []**bool{&c.Deleted, &c.Events, &c.History, &c.Metrics} {
		if *b == nil {
			*b = &yes
		}
	}
	for _, d := range []struct {
		field    *model.Duration
		fallback time.Duration
	}{
		{&c.DeletedWithin, time.Hour}, {&c.EndedWithin, 24 * time.Hour}, {&c.EventWindow, 10 * time.Minute},
		{&c.MetricsInterval, time.Minute}, {&c.PollIntervals.List, 30 * time.Second}, {&c.PollIntervals.Queued, time.Minute},
		{&c.PollIntervals.Running, 15 * time.Second}, {&c.PollIntervals.Paused, 2 * time.Minute},
	} {
		*d.field = cmp.Or(*d.field, model.Duration(d.fallback))
	}
	c.GPUUtilization = cmp.Or(c.GPUUtilization, percent)
	c.GroupBy = cmp.Or(c.GroupBy, groupNone)
	c.PageSize = cmp.Or(c.PageSize, maxPage)
	c.HTTP.SetDirectory(c.Directory)
	c.HTTP.MaxStringBytes = cmp.Or(c.HTTP.MaxStringBytes, 1<<20) // a workload's arguments may be long
	c.HTTP.SetDefaults()
	c.Token = c.Token.withDefaults(c.Directory)
	return c
}

// trimBase takes from an address what is added to it again: other clients want it with the path of the API.
func trimBase(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	for _, end := range []string{"/v1", "/v2", "/api"} {
		if strings.HasSuffix(s, "/api"+end) || end == "/api" {
			s = strings.TrimRight(strings.TrimSuffix(s, end), "/")
		}
	}
	return s
}

// Validate returns the first thing that is wrong, with the name of its field.
func (c *Config) Validate() error {
	d := c.withDefaults()
	if err := checkBase(&d.HTTP, d.BaseURL); err != nil {
		return fmt.Errorf("base_url: %w", err)
	}
	if err := d.HTTP.Validate(); err != nil {
		return err
	}
	if err := d.Token.check(&d.HTTP); err != nil {
		return err
	}
	if err := d.checkDurations(); err != nil {
		return err
	}
	if d.PageSize < 1 || d.PageSize > maxPage {
		return fmt.Errorf("page_size: must be from 1 to %d, is %d", maxPage, d.PageSize)
	}
	for _, f := range []struct {
		field, value string
		words        []string
	}{
		{"group_by", d.GroupBy, []string{groupNone, groupProject, groupDepartment, groupPrefix}},
		{"gpu_utilization", d.GPUUtilization, []string{percent, ratio}},
	} {
		if !slices.Contains(f.words, f.value) {
			return fmt.Errorf("%s: must be %s, is %q", f.field, strings.Join(f.words, " or "), f.value)
		}
	}
	if d.JobURL != "" {
		if u, err := url.Parse(d.JobURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return errors.New("job_url: is not an http or https address")
		}
	}
	return d.checkFilters()
}

func checkBase(c *api.Config, base string) error {
	if base == "" {
		return errors.New("required: the address of the user interface, such as https://<tenant>.run.ai")
	}
	if strings.ContainsAny(base, "?#") {
		return errors.New("must not have a query or fragment")
	}
	u, err := url.Parse(base)
	if err != nil {
		return errors.New("is not a URL") // the parser's own words would show a password
	}
	return c.CheckURL(u)
}

func (c *Config) checkDurations() error {
	for _, d := range []struct {
		field string
		value model.Duration
		least time.Duration
	}{
		{"poll_intervals.list", c.PollIntervals.List, minInterval}, {"poll_intervals.queued", c.PollIntervals.Queued, minInterval},
		{"poll_intervals.running", c.PollIntervals.Running, minInterval}, {"poll_intervals.paused", c.PollIntervals.Paused, minInterval},
		{"metrics_interval", c.MetricsInterval, minInterval}, {"event_window", c.EventWindow, time.Second},
		{"deleted_within", c.DeletedWithin, time.Minute}, {"ended_within", c.EndedWithin, time.Minute},
	} {
		if time.Duration(d.value) < d.least {
			return fmt.Errorf("%s: must be at least %s, is %s", d.field, d.least, d.value)
		}
	}
	return nil
}

func (c *Config) checkFilters() error {
	for i, f := range c.Filters {
		if err := checkFilter(f); err != nil {
			return fmt.Errorf("filters[%d]: %w", i, err)
		}
	}
	for _, l := range []struct {
		field string
		words []string
	}{{"projects", c.Projects}, {"types", c.Types}, {"categories", c.Categories}} {
		if i := slices.Index(l.words, ""); i >= 0 {
			return fmt.Errorf("%s[%d]: must not be empty", l.field, i)
		}
	}
	return nil
}

// cadence is how often the source wants to be asked.
func (c *Config) cadence() collector.Cadence {
	out := collector.DefaultCadence()
	out.List = time.Duration(c.PollIntervals.List)
	out.Queued = time.Duration(c.PollIntervals.Queued)
	out.Running = time.Duration(c.PollIntervals.Running)
	out.Paused = time.Duration(c.PollIntervals.Paused)
	out.Rate, out.Burst, out.Workers = c.HTTP.RateLimit, float64(c.HTTP.Burst), c.HTTP.MaxInFlight
	return out
}
