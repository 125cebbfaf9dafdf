package assign

import (
	"context"

	"github.com/trainbridge/trainbridge/collector"
)

// static is what stands in the configuration.
type static []Static

func (s static) look(_ context.Context, _ []GPU, n *names) (*found, error) {
	f := newFound()
	for _, e := range s {
		ids := n.configured(e.GPU)
		if ids == nil && !n.none() {
			f.bad.add(e.GPU, "static: no GPU is called "+e.GPU)
		}
		for _, id := range ids {
			f.jobs[id] = append(f.jobs[id], collector.Key{Source: e.Source, ID: e.Job})
		}
	}
	return f, nil
}
