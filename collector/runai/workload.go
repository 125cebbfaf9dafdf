package runai

import (
	"errors"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// workload is one row of the list of workloads, or of the revisions of one.
type workload struct {
	id, name, typ, category       string
	project, projectID, dept      string
	namespace                     string
	owner, framework              string
	phase, actual, message, cause string

	created, phaseAt, updated, completed, deleted collector.Time

	amounts [amountCount]amount
	odd     []string
}

// The numbers of a workload.
const (
	runningPods = iota
	requestedPods
	parallelPods
	requestedGPUs
	limitGPUs
	allocatedGPUs
	allocatedCPU
	allocatedMemory
	allocatedGPUMemory
	idleGPUs
	idleGPUsOld

	amountCount
)

// amount is a number that may be missing, or null.
type amount struct {
	value     float64
	set, null bool
}

// workloadReader reads a page of workloads, or the revisions of one.
type workloadReader struct {
	list      string // the name of the list in the answer; "workloads" if empty
	workloads []workload
	more      bool
	next      int
	bad       int // rows that cannot be used

	found, inside bool
}

func (r *workloadReader) read(d *api.Decoder) error {
	*r = workloadReader{list: r.list}
	if r.list == "" {
		r.list = "workloads"
	}
	err := d.Object(func(key string) error {
		switch key {
		case r.list:
			return r.readList(d)
		case "next":
			return readNext(d, &r.more, &r.next)
		}
		return nil
	})
	if err == nil && !r.found {
		return errors.New(`the answer has no list "` + r.list + `": is base_url the address of Run:ai?`)
	}
	return err
}

func (r *workloadReader) readList(d *api.Decoder) error {
	r.found, r.workloads, r.bad = true, r.workloads[:0], 0
	if d.Kind() == api.Null {
		return nil
	}
	return d.Array(func(int) error {
		r.inside = true
		var w workload
		if d.Kind() == api.Object {
			if err := d.Object(func(key string) error { return w.readField(d, key) }); err != nil {
				return err
			}
		}
		r.inside = false
		if !checkID(w.id) {
			r.bad++
			w.id = ""
		}
		r.workloads = append(r.workloads, w)
		return nil
	})
}

func (w *workload) readField(d *api.Decoder, key string) error {
	switch key {
	case "requestedPods", "allocatedResources", "workloadRequestedResources":
		return w.readAmounts(d, key)
	case "runningPods":
		return w.readAmount(d, key, runningPods)
	case "idleAllocatedGpus":
		return w.readAmount(d, key, idleGPUs)
	case "idleGpus":
		return w.readAmount(d, key, idleGPUsOld)
	case "createdAt", "phaseUpdatedAt", "updatedAt", "completedAt", "deletedAt":
		return w.readTime(d, key)
	}
	text := w.text(key)
	if text == nil {
		return nil
	}
	v, err := d.Value()
	if err == nil {
		*text = clip(textIn(v))
	}
	return err
}

// text is where a text is kept, or nil.
func (w *workload) text(key string) *string {
	switch key {
	case "id":
		return &w.id
	case "name":
		return &w.name
	case "type":
		return &w.typ
	case "category":
		return &w.category
	case "projectName":
		return &w.project
	case "projectId":
		return &w.projectID
	case "departmentName":
		return &w.dept
	case "namespace":
		return &w.namespace
	case "submittedBy":
		return &w.owner
	case "distributedFramework":
		return &w.framework
	case "phase":
		return &w.phase
	case "actualPhase": // of the endpoints for one type of workload
		return &w.actual
	case "phaseMessage":
		return &w.message
	case "phaseReason":
		return &w.cause
	}
	return nil
}

func (w *workload) readTime(d *api.Decoder, key string) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	t, odd := timeIn(v)
	if odd {
		w.odd = append(w.odd, "workload."+key)
	}
	switch key {
	case "createdAt":
		w.created = t
	case "phaseUpdatedAt":
		w.phaseAt = t
	case "updatedAt":
		w.updated = t
	case "completedAt":
		w.completed = t
	case "deletedAt":
		w.deleted = t
	}
	return nil
}

func (w *workload) readAmount(d *api.Decoder, name string, i int) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	f, ok, null := quantityIn(v)
	if ok = ok && f >= 0; !ok && !null {
		w.odd = append(w.odd, "workload."+name)
	}
	w.amounts[i] = amount{value: f, set: ok, null: null}
	return nil
}

// readAmounts reads an object of amounts, of which there are none if it is null.
func (w *workload) readAmounts(d *api.Decoder, object string) error {
	of := map[string]map[string]int{
		"requestedPods":              {"number": requestedPods, "parallelism": parallelPods},
		"allocatedResources":         {"gpu": allocatedGPUs, "cpu": allocatedCPU, "cpuMemory": allocatedMemory, "gpuMemory": allocatedGPUMemory},
		"workloadRequestedResources": {},
	}[object]
	if d.Kind() != api.Object {
		for _, i := range of {
			w.amounts[i] = amount{null: d.Kind() == api.Null}
		}
		return nil
	}
	return d.Object(func(key string) error {
		if i, ok := of[key]; ok {
			return w.readAmount(d, object+"."+key, i)
		}
		if object != "workloadRequestedResources" || key != "gpu" || d.Kind() != api.Object {
			return nil
		}
		return d.Object(func(key string) error {
			switch key {
			case "request":
				return w.readAmount(d, object+".gpu.request", requestedGPUs)
			case "limit":
				return w.readAmount(d, object+".gpu.limit", limitGPUs)
			}
			return nil
		})
	})
}

// readings are the numbers of the workload. GPUs are those of all its pods together, as the service adds them up. A number that the
// service had and has no more is withdrawn.
func (w *workload) readings() []collector.Reading {
	var out []collector.Reading
	for _, r := range []struct {
		metric collector.Metric
		label  string
		from   []int // the first that is known
	}{
		{collector.PodsRunning, "", []int{runningPods}}, {collector.PodsRequested, "", []int{requestedPods, parallelPods}},
		{collector.GPURequested, "", []int{requestedGPUs, limitGPUs}}, {collector.GPUAllocated, "", []int{allocatedGPUs}},
		{collector.GPUIdle, "", []int{idleGPUs, idleGPUsOld}}, {collector.CPUAllocated, "", []int{allocatedCPU}},
		{collector.MemoryAllocated, "", []int{allocatedMemory}},
	} {
		a := amount{}
		for _, i := range r.from {
			if !a.set && (w.amounts[i].set || w.amounts[i].null) {
				a = w.amounts[i]
			}
		}
		if a.set || a.null {
			out = append(out, collector.Reading{Metric: r.metric, Label: r.label, Value: a.value, Gone: a.null})
		}
	}
	return out
}
