package assign

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/trainbridge/trainbridge/collector"
)

// maxPerGPU bounds the jobs, and the pods, of a GPU.
const maxPerGPU = 64

// said is something that a place said.
type said[T any] struct {
	what T
	by   int // the number of the place
}

// unite adds what the places say of a GPU. What is too much is counted as not understood by whoever said it.
func (a *Assigner) unite(r *Result, id string, told []*found, wrong []bad) {
	var pods []said[collector.Pod]
	var jobs []said[collector.Key]
	for i, f := range told {
		for _, p := range f.pods[id] {
			pods = append(pods, said[collector.Pod]{p, i})
		}
		for _, j := range f.jobs[id] {
			jobs = append(jobs, said[collector.Key]{j, i})
		}
	}
	pods = sorted(pods, comparePods)
	pods = limited(pods, wrong, func(p collector.Pod) string {
		return "pods of " + id + ": " + p.Namespace + "/" + p.Name + "/" + p.Container
	},
		fmt.Sprintf("GPU %s has more than %d pods", collector.Clean(id), maxPerGPU))
	for _, p := range pods {
		if a.jobOfPod == nil {
			break
		}
		if key, ok := a.jobOfPod(p.what.Namespace, p.what.Name); ok {
			jobs = append(jobs, said[collector.Key]{key, p.by})
		}
	}
	jobs = sorted(jobs, compareKeys)
	jobs = limited(jobs, wrong, func(k collector.Key) string { return "jobs of " + id + ": " + k.Source + "/" + k.ID },
		fmt.Sprintf("GPU %s has more than %d jobs", collector.Clean(id), maxPerGPU))
	if len(pods) > 0 {
		r.Pods[id] = plain(pods)
	}
	if len(jobs) > 0 {
		r.Jobs[id] = plain(jobs)
	}
}

// sorted sorts what was said and leaves out what was said before.
func sorted[T comparable](s []said[T], compare func(a, b T) int) []said[T] {
	slices.SortFunc(s, func(a, b said[T]) int { return cmp.Or(compare(a.what, b.what), cmp.Compare(a.by, b.by)) })
	return slices.CompactFunc(s, func(a, b said[T]) bool { return a.what == b.what })
}

// limited cuts what is too much. Because it is sorted, the same is left each time.
func limited[T any](s []said[T], wrong []bad, entry func(T) string, problem string) []said[T] {
	if len(s) <= maxPerGPU {
		return s
	}
	for _, x := range s[maxPerGPU:] {
		wrong[x.by].add(entry(x.what), problem)
	}
	return s[:maxPerGPU]
}

func plain[T any](s []said[T]) []T {
	out := make([]T, len(s))
	for i, x := range s {
		out[i] = x.what
	}
	return out
}

func compareKeys(a, b collector.Key) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.ID, b.ID))
}

func comparePods(a, b collector.Pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Container, b.Container))
}
