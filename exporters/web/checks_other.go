package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// sourceProblems are what is wrong with sources.
func sourceProblems(o *overview, c clock) (found []problem) {
	for _, s := range o.snap.Sources {
		if _, configured := o.kinds[s.Name]; !configured {
			continue
		}
		base := problem{Name: labelOf(s.Name, 48), Link: "#" + domID("s", s.Name), Source: clean(s.Name)}
		if h := s.Health; h.Known && !h.Up {
			found = append(found, base.down(o, s, c))
		}
		found = append(found, base.credential(s.Health, c)...)
		if d := s.Health.DemandRatio; d != nil && *d > 1 {
			base.What, base.Do = "Requests short", "Raise the request budget of this source, or the intervals."
			base.Why = fmt.Sprintf("Asking as often as configured would take %s times the request budget, so jobs are asked less often.", number(*d))
			found = append(found, base.with(warning, c))
		}
	}
	return found
}

// down says why a source does not answer, and how much is not known for that.
func (p problem) down(o *overview, s *collector.SourceView, c clock) problem {
	h := s.Health
	class := faults[h.LastError]
	why := faultWord(h.LastError)
	p.What, p.at, p.When = "Source down", h.LastSuccess, "last answer"
	p.Why = strings.ToUpper(why[:1]) + why[1:] + "."
	p.Do, p.Alert = cmp.Or(class.do, "See the log."), cmp.Or(class.alert, "TrainingSourceDown")
	l := warning
	running, open := 0, 0
	if n := o.phases[s.Name]; n != nil {
		running = n[collector.Running]
		open = running + n[collector.Initializing] + n[collector.Paused] + n[collector.Stopping] + n[collector.Pending]
	}
	if open > 0 {
		p.Why += " What is shown of its " + plural(open, "job that has not ended is old.", "jobs that have not ended is old.")
	}
	if running > 0 && h.LastSuccess.Known() && c.now.Sub(h.LastSuccess.Std()) > silentFor {
		l, p.Alert = critical, "TrainingSourceBlindToRunningJobs"
	}
	if h.LastError == "auth" {
		l, p.Alert = critical, "TrainingSourceAuthRejected"
	}
	return p.with(l, c)
}

// credential says when a credential that a person has to renew ends.
func (p problem) credential(h collector.HealthView, c clock) []problem {
	left := h.CredentialExpiry.Std().Sub(c.now)
	if !h.CredentialExpiry.Known() || h.Renewed || left >= expirySoon {
		return nil
	}
	p.What, p.at, p.When, p.Alert = "Credential expires", h.CredentialExpiry, "ends", "TrainingSourceCredentialExpiring"
	p.Why, p.Do = "The credential in use ends on "+date(h.CredentialExpiry)+".", "Put a new one in its place before then, and correct credentials_expire if it is set."
	l := warning
	if left <= 0 {
		p.What, p.When, l = "Credential expired", "ended", critical
		p.Why, p.Do = "The credential in use ended on "+date(h.CredentialExpiry)+".", "Put a new one in its place; a file is read again by itself. Correct credentials_expire if it is set."
	}
	return []problem{p.with(l, c)}
}

func (p problem) with(l level, c clock) problem {
	p.level, p.Level, p.At, p.n = l, levelSigns[l], c.moment(p.at), 1
	return p
}

// The XIDs of the alerts: those that ask for a reset of the GPU or the node, and those that a program may cause by itself.
var (
	criticalXIDs    = []string{"46", "48", "62", "64", "74", "79", "95", "119", "120", "140", "155"}
	applicationXIDs = []string{"13", "31", "43", "94"}
)

// gpuProblems are what is wrong with the GPUs of this machine.
func gpuProblems(o *overview, c clock) (found []problem) {
	v := o.snap.GPUs
	if v == nil {
		return nil
	}
	h := v.Host
	base := problem{Name: labelOf(cmp.Or(h.Name, "this machine"), 48), Link: "#gpus", Source: "GPUs", Alert: "TrainingGpuVanished", Do: adviceVanished}
	switch {
	case !h.Up && h.Fault == "starting":
		return nil
	case !h.Up:
		base.What, base.Why, base.Alert = "GPUs unreadable", cmp.Or(clean(h.Detail), "The driver does not answer."), "TrainingGpuDriverDown"
		base.Do = "Run nvidia-smi on this machine: where that fails too, load the driver again or reboot the machine."
		found = append(found, base.with(warning, c))
	case h.Expected != nil && h.Seen+silent(v.GPUs) < *h.Expected: // those that are silent are named
		base.What, base.Why = "GPUs missing", fmt.Sprintf("%d of %d GPUs answer.", h.Seen, *h.Expected)
		found = append(found, base.with(critical, c))
	case h.Listed > h.Seen+silent(v.GPUs): // they were never read, so nobody knows who they are
		base.What, base.Why = "GPUs missing", fmt.Sprintf("The driver lists %d GPUs, and %d answer.", h.Listed, h.Seen)
		found = append(found, base.with(critical, c))
	}
	for _, a := range h.Assigned {
		if !a.Up {
			base.Do, base.Alert = "Until then no GPU is shown at its job.", "TrainingGpuAssignmentUnreadable"
			base.What, base.Why = "Assignments unreadable", "What tells which job a GPU belongs to ("+clean(a.Name)+") cannot be read; the log says why."
			found = append(found, base.with(warning, c))
		}
	}
	for _, g := range v.GPUs {
		found = append(found, gpuFaults(g, o, c)...)
	}
	return found
}

func gpuFaults(g *collector.GPU, o *overview, c clock) (found []problem) {
	base := problem{Name: gpuName(g), Link: "#" + domID("g", g.ID), Source: "GPUs"}
	base.Lead = "Its job:"
	for i, k := range g.Jobs {
		if i == jobsOfGPU {
			base.More = "and " + plural(len(g.Jobs)-i, "other", "others")
			break
		}
		base.Jobs = append(base.Jobs, jobRef{labelOf(o.names[k], 48), jobLink(k)})
	}
	if !g.Up && o.snap.GPUs.Host.Up {
		p := base
		p.What, p.at, p.When, p.Alert, p.Do = "GPU silent", g.ReadAt, "last read", "TrainingGpuVanished", adviceVanished
		p.Why = "This GPU does not answer."
		found = append(found, p.with(critical, c))
	}
	for _, v := range g.Values {
		if p, l := base.value(v, c); l > fine {
			found = append(found, p.with(l, c))
		}
	}
	return found
}

const adviceVanished = "What ran on it is lost. Keep new jobs away, look for XID 79 in the kernel log, and reboot the machine."

// value says what is wrong by one value of a GPU; fine if nothing is.
func (p problem) value(v collector.GPUValue, c clock) (problem, level) {
	switch {
	case v.Metric == collector.DeviceXIDLast && v.Value > 0 && c.now.Sub(time.Unix(int64(v.Value), 0)) < newsFor:
		return p.xid(v)
	case v.Metric == collector.DeviceRowRemapFailure && v.Value == 1:
		p.What, p.Why, p.Alert = "GPU memory", "A row of the memory could not be remapped: the GPU needs to be replaced.", "TrainingGpuRowRemapFailed"
		p.Do = "Drain the machine, confirm with the vendor's diagnostics, and open a return."
		return p, critical
	case v.Metric == collector.DeviceRowRemapPending && v.Value == 1, v.Metric == collector.DeviceRetiredPending && v.Value == 1:
		p.What, p.Why = "GPU memory", "A repair of the memory waits for a reset of the GPU."
		p.Do = "Reset it when its job is over."
		return p, warning
	case v.Metric == collector.DeviceClockEvent && v.Value == 1 && (v.Label == "hw_thermal" || v.Label == "hw_power_brake"):
		p.What, p.Alert = "GPU slowed", "TrainingGpuThrottled"
		p.Why = map[string]string{"hw_thermal": "It is too hot, so its clocks are held down.", "hw_power_brake": "The power supply holds its clocks down."}[v.Label]
		p.Do = "Compare the temperatures of its neighbours: one is a fan or a heat sink, all of a machine are cooling or power."
		return p, warning
	}
	return p, fine
}

func (p problem) xid(v collector.GPUValue) (problem, level) {
	code := short(clean(v.Label), 12)
	p.What, p.at, p.When = "XID "+code, collector.TimeOf(time.Unix(int64(v.Value), 0)), "reported"
	p.Why = "The driver reported error XID " + code + "."
	switch {
	case slices.Contains(criticalXIDs, v.Label):
		p.Alert = "TrainingGpuXidCritical"
		p.Do = "Its job is lost or will be: keep new jobs away, then reset the GPU or reboot, as the runbook says for this XID."
		return p, critical
	case slices.Contains(applicationXIDs, v.Label):
		p.Alert = "TrainingGpuXidApplication"
	}
	p.Do, p.past = "Most often the program's own mistake: the job has to be restarted, the GPU goes on.", true
	return p, warning
}

// silent is how many GPUs are known and do not answer; the parts of one are not counted.
func silent(gpus []*collector.GPU) (n int) {
	for _, g := range gpus {
		if !g.Up && g.Info.Parent == "" {
			n++
		}
	}
	return n
}

func gpuName(g *collector.GPU) label {
	name := "GPU"
	if g.Info.Index != "" {
		name += " " + g.Info.Index
	}
	if g.Info.Profile != "" {
		name += " " + g.Info.Profile
	}
	return label{short(clean(name), 48), clean(name + " " + g.Info.Name + " " + g.ID)}
}

// order sorts what is so now before what is over, each worst first, then newest; what has no time comes after what has.
func order(found []problem) {
	slices.SortStableFunc(found, func(a, b problem) int {
		if a.past != b.past {
			if a.past {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.level, a.level), cmp.Compare(b.at, a.at))
	})
}
