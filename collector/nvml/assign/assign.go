// Package assign finds out which training jobs, and which pods, a GPU was given to.
//
// Four kinds of places can tell: files that a scheduler writes (the format is dcgm-exporter's), the configuration, the kubelet,
// and the environment of the processes that use a GPU. What several places tell of a GPU is put together. A place that does not
// answer keeps what it said for a minute, so that a kubelet that restarts does not take the names off every GPU.
//
// What cannot be understood is counted when it appears, not each time that it is read, and logged once a minute at most.
package assign

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// GPU is a GPU or MIG instance whose jobs are asked for.
type GPU struct {
	ID       string // UUID
	Index    string // of the GPU, or of the GPU that a MIG instance is a part of
	Minor    string // of the GPU's device file, if it is known: what GKE names GPUs by
	Parent   string // UUID of the GPU that a MIG instance is a part of; empty for a GPU
	Instance string // GPU instance of a MIG instance
	PIDs     []int  // processes that use it
}

// Result is what the places tell, by [GPU.ID].
type Result struct {
	Jobs    map[string][]collector.Key   // sorted, none twice, at most 64 of a GPU
	Pods    map[string][]collector.Pod   // the same
	Sources []collector.AssignmentSource // sorted by name
}

// Options are what an Assigner is given.
type Options struct {
	Log *slog.Logger
	// JobOfPod finds the job of a pod; nil if nobody knows. It must be quick.
	JobOfPod func(namespace, pod string) (collector.Key, bool)
}

// patience is how long a place may take.
const patience = 3 * time.Second

// Assigner looks at the places of a configuration. It is safe for concurrent use.
type Assigner struct {
	jobOfPod func(namespace, pod string) (collector.Key, bool)
	places   []*place
	within   time.Duration
	kubelet  *kubelet
}

// looker is one place as it is implemented. It is never called twice at the same time.
type looker interface {
	// look tells what stands there. With an error, what was found is still true; nil found nothing out.
	look(ctx context.Context, gpus []GPU, n *names) (*found, error)
}

// found is what a place told.
type found struct {
	jobs map[string][]collector.Key
	pods map[string][]collector.Pod
	bad  bad
}

func newFound() *found {
	return &found{jobs: map[string][]collector.Key{}, pods: map[string][]collector.Pod{}, bad: bad{}}
}

// New makes an Assigner. Nothing is read before [Assigner.Look].
func New(c Config, o Options) (*Assigner, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	a := &Assigner{jobOfPod: o.JobOfPod, within: patience}
	seed := maphash.MakeSeed()
	add := func(name, where string, l looker) {
		a.places = append(a.places, newPlace(name, where, l, o.Log, seed))
	}
	if e := c.Environment; e != nil {
		add("environment", e.Proc, newEnvironment(*e))
	}
	for _, d := range c.MappingDirectories {
		add("files", d.Path, newDirectory(d))
	}
	if k := c.Kubelet; k != nil {
		var err error
		if a.kubelet, err = newKubelet(*k); err != nil {
			return nil, err
		}
		add("kubelet", k.Socket, a.kubelet)
	}
	if len(c.Static) > 0 {
		add("static", "static", static(c.Static))
	}
	return a, nil
}

// Look looks at all places, side by side, and returns within 3 seconds or when ctx ends, with what is known by then.
func (a *Assigner) Look(ctx context.Context, gpus []GPU) Result {
	ctx, cancel := context.WithTimeout(ctx, a.within)
	gpus = slices.Clone(gpus) // a place that hangs goes on reading them
	for i := range gpus {
		gpus[i].PIDs = slices.Clone(gpus[i].PIDs)
	}
	n := namesOf(gpus)
	var all sync.WaitGroup
	for _, p := range a.places {
		done := p.begin(ctx, gpus, n)
		all.Go(func() {
			select {
			case <-done:
			case <-ctx.Done():
			}
		})
	}
	all.Wait()
	late := errors.Is(ctx.Err(), context.DeadlineExceeded)
	cancel()
	return a.gather(n, late)
}

// Close ends the connection to the kubelet.
func (a *Assigner) Close() error {
	if a.kubelet == nil {
		return nil
	}
	return a.kubelet.close()
}
