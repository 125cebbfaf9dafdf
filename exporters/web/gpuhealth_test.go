package web

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// tell replaces what a GPU tells of a metric.
func tell(w *world, i int, m collector.GPUMetric, label string, v float64) {
	g := *w.gpus.GPUs[i]
	g.Values = slices.DeleteFunc(slices.Clone(g.Values), func(v collector.GPUValue) bool { return v.Metric == m && v.Label == label })
	g.Values = append(g.Values, collector.GPUValue{Metric: m, Label: label, Value: v})
	collector.SortGPUValues(g.Values)
	w.gpus.GPUs[i] = &g
}

// give gives a GPU to a job.
func give(w *world, i int, job string) {
	g := *w.gpus.GPUs[i]
	g.Jobs = []collector.Key{{Source: "s", ID: job}}
	w.gpus.GPUs[i] = &g
}

// TestHealthOfGPUs: what the alerts say of GPUs by what was before.
func TestHealthOfGPUs(t *testing.T) {
	ecc := collector.JoinLabels("uncorrected", "volatile")
	fleet := func(w *world, n int) {
		w.job("a")
		for i := range n {
			w.gpu(i, 0.9, 0.9, "a")
			tell(w, i, collector.DeviceClock, "sm", 1.98e9)
		}
	}
	begun := func(j *collector.Job) { j.Since, j.Started = ago(4*time.Hour), ago(4*time.Hour) }
	ended := func(d time.Duration) func(*collector.Job) {
		return func(j *collector.Job) { j.Phase, j.Since, j.Ended = collector.Succeeded, ago(d), ago(d) }
	}
	for _, c := range []struct {
		name string
		make func(*world)
		next func(*world, time.Duration)
		want []string
		why  string
	}{
		{name: "well", make: func(w *world) { fleet(w, 4) }},
		{name: "slow", make: func(w *world) { fleet(w, 4); tell(w, 2, collector.DeviceClock, "sm", 1.6e9) }, want: []string{"GPU slower than others"}},
		{name: "a little slow", make: func(w *world) { fleet(w, 4); tell(w, 2, collector.DeviceClock, "sm", 1.7e9) }},
		{name: "slow among three", make: func(w *world) { fleet(w, 3); tell(w, 2, collector.DeviceClock, "sm", 1.6e9) }},
		{name: "slow and idle", make: func(w *world) {
			fleet(w, 4)
			tell(w, 2, collector.DeviceClock, "sm", 1.6e9)
			tell(w, 2, collector.DeviceUtilization, "general", 0.4)
		}},
		{name: "slow for minutes", make: func(w *world) { fleet(w, 4) }, next: func(w *world, d time.Duration) {
			if d < 10*time.Minute {
				tell(w, 2, collector.DeviceClock, "sm", 0.5e9)
			}
		}},
		{name: "narrow", make: func(w *world) {
			fleet(w, 1)
			tell(w, 0, collector.DevicePCIeWidth, "", 8)
			tell(w, 0, collector.DevicePCIeWidthMax, "", 16)
		}, want: []string{"PCIe link narrow"}, why: "8 of 16 PCIe lanes"},
		{name: "narrow to save power", make: func(w *world) {
			w.gpu(0, 0, 0.1)
			tell(w, 0, collector.DevicePCIeWidth, "", 8)
			tell(w, 0, collector.DevicePCIeWidthMax, "", 16)
		}},
		{name: "warm", make: func(w *world) { fleet(w, 1); tell(w, 0, collector.DeviceClockEvent, "sw_thermal", 1) }, want: []string{"GPU slowed"}, why: "cool"},
		{name: "hot", make: func(w *world) { fleet(w, 1); tell(w, 0, collector.DeviceClockEvent, "hw_thermal", 1) }, want: []string{"GPU slowed"}, why: "too hot"},
		{name: "warm now and then", make: func(w *world) { fleet(w, 1) }, next: func(w *world, d time.Duration) {
			tell(w, 0, collector.DeviceClockEvent, "sw_thermal", float64(d/time.Minute%2))
		}},
		{name: "memory fails", make: func(w *world) { fleet(w, 1) }, next: func(w *world, d time.Duration) {
			tell(w, 0, collector.DeviceECCErrors, ecc, float64(time.Duration(3)-d/(10*time.Minute)+9))
		}, want: []string{"GPU memory error"}, why: "could not correct"},
		{name: "memory failed before the start", make: func(w *world) { fleet(w, 1); tell(w, 0, collector.DeviceECCErrors, ecc, 3) }},
		{name: "memory failed long ago", make: func(w *world) { fleet(w, 1) }, next: func(w *world, d time.Duration) {
			n := 0.0
			if d < 61*time.Minute {
				n = 1
			}
			tell(w, 0, collector.DeviceECCErrors, ecc, n)
		}},
		{name: "memory fails, and the GPU is away for a moment", make: func(w *world) { fleet(w, 1) }, next: func(w *world, d time.Duration) {
			n := 0.0
			if d < 30*time.Minute {
				n = 1
			}
			tell(w, 0, collector.DeviceECCErrors, ecc, n)
			w.gpus.GPUs[0].Up = d < 28*time.Minute || d > 32*time.Minute
		}, want: []string{"GPU memory error"}},
		{name: "held down most of the time", make: func(w *world) { fleet(w, 1); tell(w, 0, collector.DeviceClockEvent, "sw_thermal", 0) }, next: func(w *world, d time.Duration) {
			tell(w, 0, collector.DeviceClockEvent, "sw_thermal", min(1, float64(d/(30*time.Second)%5)))
		}, want: []string{"GPU slowed"}},
		{name: "the next job of an idle GPU", make: func(w *world) { w.job("a"); w.job("b"); w.gpu(0, 0, 0.1, "a"); w.gpu(1, 0, 0.1, "a") }, next: func(w *world, d time.Duration) {
			if d == 10*time.Minute {
				give(w, 0, "b")
				give(w, 1, "b")
				w.change(0, ended(d))
			}
		}},
		{name: "XID just before the next job", make: func(w *world) {
			fleet(w, 2)
			w.job("b")
			w.change(0, begun)
			w.change(1, func(j *collector.Job) { j.Since, j.Started = ago(99*time.Minute), ago(99*time.Minute) })
		},
			next: func(w *world, d time.Duration) {
				xidUnder(w, d, 0, "a", 100*time.Minute)
				if d == 99*time.Minute {
					give(w, 0, "b")
				}
			}},
		{name: "XID of two jobs", make: func(w *world) { fleet(w, 2); w.job("b"); w.change(0, begun); w.change(1, begun) }, next: func(w *world, d time.Duration) {
			xidUnder(w, d, 0, "a", 100*time.Minute)
			xidUnder(w, d, 0, "b", 70*time.Minute)
		}, want: []string{"XID 31 again"}},
		{name: "XID of one job, twice", make: func(w *world) { fleet(w, 2); w.change(0, begun) }, next: func(w *world, d time.Duration) {
			xidUnder(w, d, 0, "a", 100*time.Minute)
			xidUnder(w, d, 0, "a", 70*time.Minute)
		}},
		{name: "XID of jobs that had it everywhere", make: func(w *world) { fleet(w, 2); w.job("b"); w.change(0, begun); w.change(1, begun) }, next: func(w *world, d time.Duration) {
			xidUnder(w, d, 0, "a", 100*time.Minute)
			xidUnder(w, d, 1, "a", 100*time.Minute)
			xidUnder(w, d, 0, "b", 70*time.Minute)
			xidUnder(w, d, 1, "b", 70*time.Minute)
		}},
		{name: "helpers", make: func(w *world) { w.gpu(0, 0, 0.1).Jobs = nil; w.gpus.Host.Helpers = 2 }, want: []string{"GPU reader stuck"}},
		{name: "one helper", make: func(w *world) { w.gpu(0, 0, 0.1).Jobs = nil; w.gpus.Host.Helpers = 1 }},
		{name: "ended and busy", make: func(w *world) { w.job("a"); w.gpu(0, 0.9, 0.9, "a") }, next: func(w *world, d time.Duration) {
			if d == 25*time.Minute {
				w.change(0, ended(d))
			}
		}, want: []string{"Ended, GPUs busy"}, why: "90 % busy"},
		{name: "ended a moment ago", make: func(w *world) { w.job("a"); w.gpu(0, 0.9, 0.9, "a") }, next: func(w *world, d time.Duration) {
			if d == 15*time.Minute {
				w.change(0, ended(d))
			}
		}},
		{name: "ended, and the next job has its GPU", make: func(w *world) { w.job("a"); w.job("b"); w.gpu(0, 0.9, 0.9, "a", "b") }, next: func(w *world, d time.Duration) {
			if d == 25*time.Minute {
				w.change(0, ended(d))
			}
		}},
		{name: "ended and idle", make: func(w *world) { w.job("a"); w.gpu(0, 0.1, 0.2, "a") }, next: func(w *world, d time.Duration) {
			if d == 25*time.Minute {
				w.change(0, ended(d))
			}
		}},
	} {
		w := &world{}
		w.source("s", true)
		c.make(w)
		s := w.played(t, 2*time.Hour, 30*time.Second, func(d time.Duration) {
			if c.next != nil {
				c.next(w, d)
			}
		})
		var got []string
		why := ""
		o := s.look.glance()
		for _, f := range o.findings {
			p := o.checks.problem(f, clock{now: at})
			got, why = append(got, p.What), why+p.Why
		}
		for _, p := range s.otherProblems(o, clock{now: at}) {
			got, why = append(got, p.What), why+p.Why
		}
		if !slices.Equal(got, c.want) || !strings.Contains(why, c.why) {
			t.Errorf("%s: found %q (%s), want %q (%s)", c.name, got, why, c.want, c.why)
		}
	}
}

// xidUnder lets a GPU report XID 31 under a job, so long before the end.
func xidUnder(w *world, now time.Duration, gpu int, job string, when time.Duration) {
	if now == when {
		give(w, gpu, job)
		tell(w, gpu, collector.DeviceXIDLast, "31", ago(when).Seconds())
	}
}
