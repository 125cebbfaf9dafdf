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
			p = h.start(at, turn)
		}
		if p != nil && e.mode.needsJob() && h.jobs[p.job] == nil {
			delete(h.played, at) // over with its job; another one has the trouble next
			p = h.start(at, turn)
		}
		if p == nil {
			continue
		}
		h.report(e, p, elapsed-e.at, now.Add(notice/2)) // the driver notices before anybody who asks it
	}
}

// start finds GPUs for an episode; without any it is tried again while the episode would last.
func (h *Host) start(at, turn int) *playing {
	e := h.scenario.episodes[at]
	gpus := h.find(e, strconv.Itoa(at)+"/"+strconv.Itoa(turn))
	if gpus == nil {
		return nil
	}
	p := &playing{turn: turn, gpus: gpus}
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
			h.state.Report(p.gpus[0], at, code)
			h.dirty = true
		}
	}
}

// find chooses among the GPUs that nothing is wrong with.
func (h *Host) find(e episode, name string) []int {
	if e.target == last {
		return []int{len(h.state.GPUs) - 1}
	}
	var well [][]int // by job
	most := 0
	for _, gpus := range h.jobs.all() {
		most = max(most, len(gpus))
		gpus = slices.DeleteFunc(slices.Clone(gpus), func(g int) bool { _, ill := h.trouble(g); return ill })
		if len(gpus) > 0 {
			well = append(well, gpus)
		}
	}
	if len(well) == 0 {
		return nil
	}
	// The best fit first; where there is none, any other job will do.
	fits := slices.DeleteFunc(slices.Clone(well), func(gpus []int) bool {
		switch e.target {
		case single:
			return len(gpus) != 1
		case member:
			return len(gpus) < min(most, 2)
		case group:
			return len(gpus) < 2 || len(gpus) == most
		}
		return false
	})
	if len(fits) == 0 {
		fits = well
	}
	dice := func(n int, what string) int {
		return int(float64(n) * share(strconv.FormatInt(h.o.Seed, 10), name, what))
	}
	chosen := fits[dice(len(fits), "job")]
	if e.target == group {
		return chosen
	}
	i := dice(len(chosen), "gpu")
	return chosen[i : i+1 : i+1]
}
