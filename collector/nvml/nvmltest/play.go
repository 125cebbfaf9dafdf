package nvmltest

import (
	"slices"
	"strconv"
	"time"
)

// play begins and ends episodes.
func (h *Host) play(now time.Time) {
	elapsed, turn := now.Sub(h.began), 0
	if r := h.scenario.repeat; r > 0 {
		turn = int(elapsed / r)
		elapsed %= r
	}
	for at, e := range h.scenario.episodes {
		on := elapsed >= e.at && (e.lasts == 0 || elapsed < e.at+e.lasts)
		p := h.played[at]
		if !on || p != nil && p.turn != turn {
			delete(h.played, at)
			p = nil
		}
		if on && p == nil {
			p = h.start(at, turn, elapsed)
		}
		if p != nil && e.needsJob() && h.jobs[p.job] == nil {
			delete(h.played, at) // over with its job; another one has the trouble next
			p = h.start(at, turn, elapsed)
		}
		if p == nil {
			continue
		}
		h.report(e, p, elapsed-p.began, now.Add(notice/2)) // the driver notices before anybody who asks it
	}
}

// start finds GPUs for an episode; without any it is tried again while the episode would last.
func (h *Host) start(at, turn int, elapsed time.Duration) *playing {
	e := h.scenario.episodes[at]
	gpus := h.find(e, strconv.Itoa(at)+"/"+strconv.Itoa(turn))
	if gpus == nil {
		return nil
	}
	p := &playing{turn: turn, gpus: gpus, began: elapsed}
	p.job, _ = h.jobs.owner(gpus[0])
	h.played[at] = p
	return p
}

// report lets the XIDs of an episode come, at its begin and, for some, again.
func (h *Host) report(e episode, p *playing, since time.Duration, at time.Time) {
	due := 1
	if e.again > 0 {
		due += int(since / e.again)
	}
	for ; p.reports < due; p.reports++ {
		for _, code := range e.xids {
			for _, gpu := range p.gpus {
				h.state.Report(gpu, at, code)
				h.dirty = true
			}
		}
	}
}

// find chooses among the GPUs that nothing is wrong with.
func (h *Host) find(e episode, name string) []int {
	dice := func(n int, what string) int {
		return int(float64(n) * share(strconv.FormatInt(h.o.Seed, 10), name, what))
	}
	switch e.target {
	case last:
		return []int{len(h.state.GPUs) - 1}
	case front:
		return []int{dice(min(shares[0], len(h.state.GPUs)), "gpu")}
	}
	fits := h.fitting(e)
	if len(fits) == 0 {
		return nil
	}
	chosen := fits[dice(len(fits), "job")]
	if e.needsJob() && e.lasts == 0 {
		chosen = slices.MinFunc(fits, h.byAge) // the one that is there longest is the last to leave
	}
	if e.target == group || e.target == whole || e.target == several {
		return chosen
	}
	i := dice(len(chosen), "gpu")
	return chosen[i : i+1 : i+1]
}

func (h *Host) byAge(a, b []int) int {
	one, _ := h.jobs.owner(a[0])
	other, _ := h.jobs.owner(b[0])
	return h.since[one].Compare(h.since[other])
}

// fitting are the GPUs of each job that an episode can hit: of the best fit, or of any other job where that will do.
func (h *Host) fitting(e episode) [][]int {
	var well [][]int // by job
	most := 0
	for _, gpus := range h.jobs.all() {
		most = max(most, len(gpus))
		gpus = slices.DeleteFunc(slices.Clone(gpus), func(g int) bool { _, ill := h.trouble(g); return ill })
		if len(gpus) > 0 && h.ready(e, gpus[0]) {
			well = append(well, gpus)
		}
	}
	fits := slices.DeleteFunc(slices.Clone(well), func(gpus []int) bool {
		switch e.target {
		case single:
			return len(gpus) != 1
		case member:
			return len(gpus) < min(most, 2)
		case group:
			return len(gpus) < 2 || len(gpus) == most
		case several:
			return len(gpus) < 2
		}
		return false
	})
	if len(fits) == 0 && e.target != several {
		return well
	}
	return fits
}

// ready is true for a GPU whose job the episode can hit.
func (h *Host) ready(e episode, gpu int) bool {
	j, _ := h.jobs.owner(gpu)
	trained := time.Duration(float64(h.now.Sub(h.since[j])) * h.o.Speed)
	return trained >= e.trained && !(e.silent && slices.Contains(h.o.Steps, j.Source))
}
