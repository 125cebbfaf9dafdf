package program

import (
	"crypto/sha256"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml"
	"github.com/trainbridge/trainbridge/exporters/otlp"
)

// fileConfig is the configuration file. Relative paths in it are relative to its folder.
type fileConfig struct {
	State   stateConfig   `yaml:"state"`
	Sources []yaml.Node   `yaml:"sources"` // each a sourceHeader and what its kind has
	GPUs    *nvml.Config  `yaml:"gpus"`    // of this machine; without it they are not read
	OTLP    otlp.Config   `yaml:"otlp"`
	API     apiConfig     `yaml:"api"`
	Metrics metricsConfig `yaml:"metrics"`
	Traces  tracesConfig  `yaml:"traces"`

	// Retention is how long a job that ended keeps its series; default 1h.
	Retention model.Duration `yaml:"retention"`
	// GroupRetention is how long a group without jobs keeps its series; default 1d.
	GroupRetention model.Duration `yaml:"group_retention"`
}

type stateConfig struct {
	// Directory holds what must survive a restart. Without it everything is kept in memory only.
	Directory string `yaml:"directory"`
	// OutboxSpans is how many spans may wait for a receiver; default 1,000,000. More are dropped and counted.
	OutboxSpans int `yaml:"outbox_spans"`
}

type sourceHeader struct {
	// Name is the value of the label training_source. Counters and traces hang on it: a source with a new name is a new one.
	Name string `yaml:"name"`
	Kind string `yaml:"kind"`
}

type apiConfig struct {
	// Jobs turns on POST /api/v1/jobs.
	Jobs bool `yaml:"jobs"`
}

type metricsConfig struct {
	// JobLabels are labels of training_job_info that every series of a job shall carry, such as training_job_name.
	JobLabels []string `yaml:"job_labels"`
	// Jobs is how many jobs of one source may have series; default 200,000.
	Jobs int `yaml:"jobs_per_source"`
	// Series is how many series all jobs together may have; default 5,000,000.
	Series int `yaml:"series"`
	// FreeForm is how many names training_job_metric may have in one job; default 64.
	FreeForm int `yaml:"names_per_job"`
}

type tracesConfig struct {
	// StepSpans is each (default), windows or none.
	StepSpans string `yaml:"step_spans"`
}

// settings are a configuration file that was read and checked.
type settings struct {
	file    string
	frozen  frozen
	sources []*sourceSettings
	gpus    gpuSettings
	push    pushSettings
	jobsAPI bool
}

// frozen are the settings that cannot change while the program runs.
type frozen struct {
	StateDirectory string
	OutboxSpans    int
	Retention      time.Duration
	GroupRetention time.Duration
	Limits         collector.Limits
	StepSpans      collector.StepSpans
	Spans          bool // traces are sent
}

// sourceSettings are what one source is made from.
type sourceSettings struct {
	sourceHeader
	kind   kind
	config any // pointer to the kind's type
	digest [sha256.Size]byte

	file, path string // for errors
	node       *yaml.Node
}

// pushSettings are what the OTLP exporter is made from.
type pushSettings struct {
	otlp      otlp.Settings
	jobLabels []string
	digest    [sha256.Size]byte
}
