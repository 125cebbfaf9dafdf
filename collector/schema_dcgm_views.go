package collector

import (
	"cmp"
	"slices"
)

// maxDCGMViews bounds the views of one GPU, where it is shared by many jobs and pods.
const maxDCGMViews = 64

// DCGMViews are the views of all GPUs for the first time: without rates, which need two readings.
func DCGMViews(host *GPUHost, gpus []*GPU, renamed bool) []*DCGMView {
	return NextDCGMViews(nil, host, gpus, renamed)
}

// NextDCGMViews are the views of all GPUs after those of before, which gives the traffic per second since the last reading.
// before may be nil. The order is that of the GPUs.
func NextDCGMViews(before []*DCGMView, host *GPUHost, gpus []*GPU, renamed bool) []*DCGMView {
	last := make(map[string]*DCGMView, len(before))
	for _, v := range before {
		last[v.ID] = v
	}
	var views []*DCGMView
	for _, d := range dcgmDevices(gpus) {
		views = d.views(views, DCGMView{GPU: d.GPU, Host: host, Renamed: renamed, Parent: d.parent, rates: ratesSince(last[d.ID], d.GPU)})
	}
	return views
}

// dcgmDevice is what dcgm-exporter has one set of series for: a GPU that is not divided, or a MIG GPU instance.
type dcgmDevice struct {
	*GPU
	parent *GPU
	jobs   []string
	pods   []Pod
}

func dcgmDevices(gpus []*GPU) []*dcgmDevice {
	byID := make(map[string]*GPU, len(gpus))
	for _, g := range gpus {
		byID[g.ID] = g
	}
	var devices []*dcgmDevice
	instances := map[[2]string]*dcgmDevice{} // compute instances of the same GPU instance are one device
	divided := map[string]bool{}
	for _, g := range gpus {
		parent := byID[g.Info.Parent]
		if parent != nil && parent.Up && !g.Up {
			continue // the instance was there before the GPU was divided anew
		}
		if g.Info.Parent != "" {
			divided[g.Info.Parent] = true
			key := [2]string{g.Info.Parent, g.Info.Instance}
			if d := instances[key]; d != nil {
				d.merge(g)
				continue
			}
			instances[key] = &dcgmDevice{GPU: g, parent: parent}
			devices = append(devices, instances[key])
		} else {
			devices = append(devices, &dcgmDevice{GPU: g})
		}
		devices[len(devices)-1].given(g)
	}
	return slices.DeleteFunc(devices, func(d *dcgmDevice) bool { return divided[d.ID] })
}

// merge adds another part of the same GPU instance. Its values are those of the part that answers.
func (d *dcgmDevice) merge(g *GPU) {
	if !d.Up && g.Up {
		d.GPU = g
	}
	d.given(g)
}

func (d *dcgmDevice) given(g *GPU) {
	for _, k := range g.Jobs {
		d.jobs = append(d.jobs, k.ID)
	}
	d.pods = append(d.pods, g.Pods...)
}

// views appends a copy of v for each job in each pod.
func (d *dcgmDevice) views(to []*DCGMView, v DCGMView) []*DCGMView {
	slices.Sort(d.jobs)
	slices.SortFunc(d.pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Container, b.Container))
	})
	jobs, pods := slices.Compact(d.jobs), slices.Compact(d.pods)
	if len(jobs) == 0 || len(jobs) > 1 && len(pods) > 1 { // nobody says which pod has which job
		jobs = []string{""}
	}
	if len(pods) == 0 {
		pods = []Pod{{}}
	}
	end := len(to) + maxDCGMViews
	for _, job := range jobs {
		for _, pod := range pods {
			if len(to) == end {
				return to
			}
			one := v
			one.Job, one.Pod = job, pod
			to = append(to, &one)
		}
	}
	return to
}

// ratesSince is how fast the traffic counters of g rose since the reading that last shows. It is what last has already where
// g was not read anew.
func ratesSince(last *DCGMView, g *GPU) []GPUValue {
	switch {
	case last == nil || !last.Up || !g.Up:
		return nil
	case last.ReadAt == g.ReadAt:
		return last.rates
	}
	seconds := g.ReadAt.Sub(last.ReadAt).Seconds()
	var rates []GPUValue
	for _, m := range []GPUMetric{DeviceIO, DeviceNVLinkIO} {
		for _, now := range g.of(m) {
			was, ok := last.Value(m, now.Label)
			if ok && was <= now.Value && seconds > 0 {
				rates = append(rates, GPUValue{Metric: m, Label: now.Label, Value: (now.Value - was) / seconds})
			}
		}
	}
	return rates
}

// rate is how fast a counter rises, if that is known.
func (v *DCGMView) rate(m GPUMetric, label string) (float64, bool) {
	for _, r := range v.rates {
		if r.Metric == m && r.Label == label {
			return r.Value, true
		}
	}
	return 0, false
}
