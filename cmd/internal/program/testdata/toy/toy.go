// Package toy watches jobs that a configuration names.
package toy

import (
	"context"
	"errors"

	"github.com/trainbridge/trainbridge/collector"
)

// Config names the jobs.
type Config struct {
	Jobs []string `yaml:"jobs"`
}

// Source has the jobs.
type Source struct{ jobs []string }

// New makes the source.
func New(c Config, env collector.Env) (*Source, error) {
	if len(c.Jobs) == 0 {
		return nil, errors.New("jobs: at least one job id is required")
	}
	return &Source{jobs: c.Jobs}, nil
}

// List implements [collector.Source].
func (s *Source) List(context.Context) (collector.Listing, error) {
	var l collector.Listing
	for _, id := range s.jobs {
		l.Jobs = append(l.Jobs, collector.Update{Key: collector.Key{ID: id}, HasPhase: true, Phase: collector.Running, Status: "busy"})
	}
	return l, nil
}
