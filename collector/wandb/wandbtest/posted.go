package wandbtest

import (
	"fmt"
	"time"
)

// train takes in a job that was created through HTTP: it trains in the fleet's time, from now on. groups is the number
// of trajectory groups that were posted with it.
func (f *Fleet) train(j Job, groups int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.posted[j.ModelID+string(j.Kind)]
	if r == nil {
		r = f.newPosted(j)
		f.posted[j.ModelID+string(j.Kind)] = r
	}
	n, pace := min(max(groups, 8), 24), 2*time.Second
	if j.Kind == SFT {
		n = 60
	}
	r.launch(j.ID, n, pace)
}

func (f *Fleet) newPosted(j Job) *run {
	r := &run{f: f, gen: 1, model: j.ModelID, began: f.now, oneJob: true}
	r.owner = "trainer"
	if j.Kind == SFT {
		r.style = styleSFT
	}
	if m := f.s.model(j.ModelID); m != nil {
		r.spec.name, r.name, r.project, r.base = m.name, m.name, m.project, m.base
	}
	r.rng = f.rng(fmt.Sprintf("posted %d %s", len(f.posted), r.name))
	r.curve = newCurve(r.rng, r.style)
	return r
}
