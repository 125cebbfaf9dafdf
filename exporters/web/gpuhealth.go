package web

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Bounds of what is said of GPUs themselves: those of the alerts TrainingJobStragglerGpu, TrainingGpuPcieDowntrained,
// TrainingGpuThrottled, TrainingGpuUncorrectableEcc, TrainingGpuXidRepeatsAcrossJobs, TrainingGpuHelperStuck and TrainingJobFalseTerminal.
const (
	slowClock    = 0.85 // of the median of the GPUs of the job
	slowAmong    = 4    // GPUs, to know what is usual
	slowBusy     = 0.5
	narrowBusy   = 0.2
	lastingFor   = 15 * time.Minute // a slow GPU, a narrow link, helpers that do not end
	warmOver     = 10 * time.Minute // averaged
	warmFrom     = 0.5
	warmFor      = 5 * time.Minute
	endOver      = 10 * time.Minute // averaged
	eccRecent    = time.Hour
	endBusy      = 0.5 // on average, of the GPUs of a job that ended
	endFor       = 20 * time.Minute
	repeatsFrom  = 2 // jobs
	repeatsIn    = 24 * time.Hour
	xidFresh     = 3 * time.Minute // how soon after an XID its job is asked for
	xidsMost     = 256             // that are remembered
	uncorrected  = "uncorrected"
	volatileOnly = "volatile"
)

// health is what is remembered of the health of one GPU.
type health struct {
	clock              quarter        // of the SMs
	held               quarter        // the share of time in which clocks were held down
	slow, narrow, warm collector.Time // since when it looks so; 0 if it does not
	errors             float64        // of memory, not corrected, so far
	errorsAt           collector.Time // when they last became more
	seen               bool
}

// look takes what a GPU tells; busy is how busy it was over a quarter of an hour.
func (w *health) look(g *collector.GPU, busy float64, now collector.Time) {
	if v, ok := g.Value(collector.DeviceClock, "sm"); ok {
		w.clock.add(now, v)
	}
	width, known := g.Value(collector.DevicePCIeWidth, "")
	most, told := g.Value(collector.DevicePCIeWidthMax, "")
	w.narrow = since(w.narrow, known && told && width < most && busy > narrowBusy, now)
	held := 0.0
	if slices.ContainsFunc([]string{"sw_thermal", "hw_thermal", "hw_power_brake"}, func(reason string) bool { return heldBy(g, reason) }) {
		held = 1
	}
	w.held.add(now, held)
	share, _ := w.held.mean(now, warmOver)
	w.warm = since(w.warm, busy > narrowBusy && share > warmFrom, now)
	errors, ok := g.Value(collector.DeviceECCErrors, collector.JoinLabels(uncorrected, volatileOnly))
	if ok && w.seen && errors > w.errors {
		w.errorsAt = now
	}
	if ok {
		w.errors, w.seen = errors, true
	}
}

// ofAnother is what stays when a GPU gets another job.
func (w *health) ofAnother() health {
	next := *w
	next.clock, next.slow = quarter{}, 0
	return next
}

func heldBy(g *collector.GPU, reason string) bool {
	v, _ := g.Value(collector.DeviceClockEvent, reason)
	return v == 1
}

func (w *gpuWatch) mark(now collector.Time) gpuMark {
	h := &w.health
	m := gpuMark{
		idle: lasted(w.idle, idleFor, now), spin: lasted(w.spin, spinFor, now),
		slow: whenLasted(h.slow, lastingFor, now), narrow: whenLasted(h.narrow, lastingFor, now), warm: whenLasted(h.warm, warmFor, now),
	}
	if h.errorsAt.Known() && now.Sub(h.errorsAt) < eccRecent {
		m.ecc = h.errorsAt
	}
	return m
}

// xidOfJob is an XID that a program may cause, and the job whose GPU had it.
type xidOfJob struct {
	gpu, code string
	job       collector.Key
	at        collector.Time
}

// noteXIDs remembers whose a GPU was when it had an XID. Asked later, it would be the next job.
func (h *History) noteXIDs(g *collector.GPU, now collector.Time) {
	if len(g.Jobs) != 1 {
		return
	}
	for _, v := range g.Values {
		at := collector.TimeOf(time.Unix(int64(v.Value), 0))
		if v.Metric != collector.DeviceXIDLast || v.Label != "13" && v.Label != "31" || now.Sub(at) >= xidFresh || !h.hadBegun(g.Jobs[0], at) {
			continue
		}
		x := xidOfJob{g.ID, v.Label, g.Jobs[0], now}
		h.xids = slices.DeleteFunc(h.xids, func(o xidOfJob) bool {
			return now.Sub(o.at) >= repeatsIn || o.gpu == x.gpu && o.code == x.code && o.job == x.job
		})
		if h.xids = append(h.xids, x); len(h.xids) > xidsMost {
			h.xids = h.xids[1:]
		}
	}
}

// hadBegun: a job that is known ran at a time already. One that got the GPU after an XID did not cause it.
func (h *History) hadBegun(k collector.Key, at collector.Time) bool {
	t := h.tracks[k]
	return t != nil && firstKnown(t.job.Started, t.job.Since) <= at
}

// repeats are the XIDs that a GPU had under several jobs, each of which had it nowhere else, and the newest of them; empty if there is none.
func (h *History) repeats(gpu string, now collector.Time) (codes string, newest collector.Time) {
	jobs, last := map[string]int{}, map[string]collector.Time{}
	for _, x := range h.xids {
		elsewhere := func(o xidOfJob) bool { return o.job == x.job && o.code == x.code && o.gpu != gpu }
		if x.gpu == gpu && now.Sub(x.at) < repeatsIn && !slices.ContainsFunc(h.xids, elsewhere) {
			jobs[x.code]++
			last[x.code] = max(last[x.code], x.at)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(jobs)) {
		if jobs[code] >= repeatsFrom {
			codes, newest = strings.TrimPrefix(codes+" and "+code, " and "), max(newest, last[code])
		}
	}
	return codes, newest
}

// compare finds GPUs that are slower than the others of their job.
func (h *History) compare(gpus []*collector.GPU, now collector.Time) {
	clocks := map[collector.Key][]float64{}
	for _, g := range gpus {
		if w := h.gpus[g.ID]; w != nil {
			if clock, ok := w.health.clock.mean(now, lastingFor); ok {
				for _, k := range g.Jobs {
					clocks[k] = append(clocks[k], clock)
				}
			}
		}
	}
	for _, all := range clocks {
		slices.Sort(all)
	}
	for _, g := range gpus {
		w := h.gpus[g.ID]
		if w == nil {
			continue
		}
		clock, known := w.health.clock.mean(now, lastingFor)
		busy, _ := w.busy.mean(now, lastingFor)
		slow := func(k collector.Key) bool {
			t, all := h.tracks[k], clocks[k]
			return t != nil && runs(t.job) && len(all) >= slowAmong && clock < slowClock*(all[(len(all)-1)/2]+all[len(all)/2])/2
		}
		w.health.slow = since(w.health.slow, known && busy > slowBusy && slices.ContainsFunc(g.Jobs, slow), now)
	}
}

// endsBusy is how busy the GPUs of jobs are that ended, where they should be free.
func (h *History) endsBusy(gpus []*collector.GPU, now collector.Time) map[collector.Key]float64 {
	loads := map[collector.Key]*average{}
	for _, g := range gpus {
		open := func(k collector.Key) bool { t := h.tracks[k]; return t != nil && !t.job.Done() }
		w := h.gpus[g.ID]
		if w == nil || slices.ContainsFunc(g.Jobs, open) {
			continue
		}
		busy, known := w.busy.mean(now, endOver)
		for _, k := range g.Jobs {
			if t := h.tracks[k]; t != nil && t.job.Phase.Ended() && now.Sub(t.job.Since) >= endFor {
				if loads[k] == nil {
					loads[k] = &average{}
				}
				loads[k].add(busy, known)
			}
		}
	}
	ends := map[collector.Key]float64{}
	for k, l := range loads {
		if busy, known := l.value(); known && busy > endBusy {
			ends[k] = busy
		}
	}
	return ends
}
