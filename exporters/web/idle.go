package web

import (
	"fmt"
	"math"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// gpuTrouble is what is wrong with the GPUs of a job that runs.
type gpuTrouble struct {
	spin, idle collector.Time // since when all of them do, together
	busy       float64        // on average over a quarter of an hour
	dead       bool           // idle for so long that the job is probably none any more

	part  collector.Time // since when some of them idle, though all together do not
	names []string       // of those
	of    int            // GPUs of the job
}

// gpuMark is what is wrong with one GPU: with its job, or with itself.
type gpuMark struct {
	idle, spin         bool
	slow, narrow, warm collector.Time // since when; 0 if it is not
	ecc                collector.Time // when memory last failed, within the hour
	repeats            string         // XIDs that it had under several jobs each
	repeated           collector.Time // the newest of them
}

// troubles is what is wrong by what is remembered; what has lasted too short is left out.
type troubles struct {
	jobs    map[collector.Key]gpuTrouble
	gpus    map[string]gpuMark
	ends    map[collector.Key]float64 // how busy the GPUs of jobs are that ended
	courses map[collector.Key]courseTrouble
	sources map[string]sourceTrouble // nil where nobody watches
	stuck   bool                     // helpers that read GPUs do not end
	spans   collector.Time           // when spans were last dropped, within half an hour
}

// troubles says what is wrong now. A nil History knows nothing.
func (h *History) troubles(snap *collector.Snapshot, now collector.Time) troubles {
	found := troubles{jobs: map[collector.Key]gpuTrouble{}, gpus: map[string]gpuMark{}, courses: map[collector.Key]courseTrouble{}}
	if h == nil {
		return found
	}
	found.sources = map[string]sourceTrouble{}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for k, t := range h.tracks {
		if t.watch != nil && (t.watch.idle.Known() || t.watch.spin.Known()) {
			if trouble, bad := t.watch.trouble(t.job, now); bad {
				found.jobs[k] = trouble
			}
		}
		if trouble := t.trouble(now); trouble != (courseTrouble{}) {
			found.courses[k] = trouble
		}
	}
	if at := h.spans.at; at.Known() && now.Sub(at) < droppedNews {
		found.spans = at
	}
	for name, s := range h.sights {
		found.sources[name] = s.trouble(now)
	}
	if snap.GPUs != nil {
		found.stuck = lasted(h.stuck, lastingFor, now)
		found.ends = h.endsBusy(snap.GPUs.GPUs, now)
		h.gpuTroubles(found, snap.GPUs.GPUs, now)
	}
	return found
}

// gpuTroubles adds what is wrong with GPUs, and with jobs of whose GPUs some do nothing.
func (h *History) gpuTroubles(found troubles, gpus []*collector.GPU, now collector.Time) {
	of := map[collector.Key]int{}
	for _, g := range byIndex(gpus) {
		for _, k := range g.Jobs {
			of[k]++
		}
		w := h.gpus[g.ID]
		if w == nil {
			continue
		}
		mark := w.mark(now)
		if !g.Up { // what is known of it is of before
			mark = gpuMark{ecc: mark.ecc}
		}
		mark.repeats, mark.repeated = h.repeats(g.ID, now)
		if mark != (gpuMark{}) {
			found.gpus[g.ID] = mark
		}
		if mark.idle {
			h.partly(found.jobs, g, w.idle)
		}
	}
	for k, t := range found.jobs {
		t.of = of[k]
		found.jobs[k] = t
	}
}

// partly adds a GPU that idles to the jobs of which not all do.
func (h *History) partly(jobs map[collector.Key]gpuTrouble, g *collector.GPU, since collector.Time) {
	for _, k := range g.Jobs {
		t, known := h.tracks[k], false
		if t != nil {
			known = runs(t.job) && !mayIdle(t.job)
		}
		if trouble := jobs[k]; known && !trouble.idle.Known() {
			trouble.part = max(trouble.part, since)
			trouble.names = append(trouble.names, gpuName(g).Text)
			jobs[k] = trouble
		}
	}
}

func lasted(since collector.Time, long time.Duration, now collector.Time) bool {
	return since.Known() && now.Sub(since) >= long
}

// whenLasted is since when something is so, if that is long enough; else 0.
func whenLasted(since collector.Time, long time.Duration, now collector.Time) collector.Time {
	if lasted(since, long, now) {
		return since
	}
	return 0
}

func (w *gpuWatch) trouble(j *collector.Job, now collector.Time) (t gpuTrouble, bad bool) {
	t.spin = whenLasted(w.spin, spinFor, now)
	if lasted(w.idle, idleFor, now) && !mayIdle(j) {
		t.idle = w.idle
		t.busy, _ = w.busy.mean(now, idleFor)
		t.dead = lasted(w.alive, deadFor, now) && now.Sub(j.LastStep) >= 2*time.Hour
	}
	return t, t.spin.Known() || t.idle.Known()
}

// gpus appends what is wrong with the GPUs of a job that runs.
func (c *checks) gpus(to []finding, j *collector.Job) []finding {
	t, found := c.troubles.jobs[j.Key]
	if !found || !runs(j) {
		return to
	}
	if t.spin.Known() {
		to = append(to, finding{jobSpins, critical, t.spin, j})
	}
	switch {
	case t.dead:
		to = append(to, finding{jobDead, warning, t.idle, j})
	case t.idle.Known():
		to = append(to, finding{jobIdle, warning, t.idle, j})
	case t.part.Known() && len(t.names) < t.of:
		to = append(to, finding{jobPartIdle, warning, t.part, j})
	}
	return to
}

// whyGPUs says in words what is wrong with the GPUs of a job.
func (c *checks) whyGPUs(f finding) string {
	t := c.troubles.jobs[f.job.Key]
	which := "The GPUs that it holds are"
	if t.of > 0 {
		which = "Its " + plural(t.of, "GPU on this machine is", "GPUs on this machine are")
	}
	switch {
	case f.kind == jobSpins && f.job.LastStep.Known():
		return fmt.Sprintf("%s busy at hardly any power, and no step has come since %s: they wait for each other.", which, f.job.LastStep.Std().Format("2 Jan 15:04 UTC"))
	case f.kind == jobSpins:
		return which + " busy at hardly any power, and their tensor cores have stopped: they wait for each other."
	case f.kind == jobPartIdle:
		return fmt.Sprintf("%s of the %s that it has on this machine did nothing for a quarter of an hour: %s.",
			grouped(len(t.names)), plural(t.of, "GPU", "GPUs"), listed(t.names, 8))
	case f.kind == jobDead:
		return which + " idle for more than two hours, and nothing else happens. It is probably over and does not end."
	}
	return fmt.Sprintf("%s %s %% busy on average over a quarter of an hour.", which, number(math.Round(1000*t.busy)/10))
}

// listed names so many, and says how many others there are.
func listed(names []string, most int) string {
	text := ""
	for i, n := range names[:min(len(names), most)] {
		if i > 0 {
			text += ", "
		}
		text += n
	}
	if more := len(names) - most; more > 0 {
		text += " and " + plural(more, "other", "others")
	}
	return text
}

// marks are what is said of a GPU beside its state.
func (m gpuMark) signs() (all []sign) {
	if m.idle {
		all = append(all, sign{"idle under a running job", "▲", "warn"})
	}
	if m.spin {
		all = append(all, sign{"busy, hardly working", "▲", "warn"})
	}
	if m.slow.Known() {
		all = append(all, sign{"slower than its neighbours", "▲", "warn"})
	}
	if m.narrow.Known() {
		all = append(all, sign{"narrow PCIe link", "▲", "warn"})
	}
	if m.warm.Known() {
		all = append(all, sign{"held down", "▲", "warn"})
	}
	if m.ecc.Known() {
		all = append(all, sign{"memory error", "✖", "bad"})
	}
	if m.repeats != "" {
		all = append(all, sign{"XID " + m.repeats + " again", "✖", "bad"})
	}
	return all
}

// watching says what is known of busy and idle GPUs here, and since when.
func (s *site) watching(snap *collector.Snapshot) string {
	h := s.o.History
	if h == nil {
		return "Whether GPUs idle or hang is not watched here."
	}
	text := "GPUs under a running job are marked when they idle (less than 5 % busy over a quarter of an hour, for another quarter) or are busy" +
		" with next to no power or work for three minutes. This is watched since " + date(collector.TimeOf(h.since)) + ", and not for the first minutes after a source comes back."
	if snap.GPUs == nil {
		text += " Of GPUs on other machines it is known what their provider tells."
	}
	return text
}
