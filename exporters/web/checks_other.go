package web

import (
	"cmp"
	"fmt"
	"math"
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
		found = append(found, base.remembered(o, s, c)...)
	}
	return found
}

// remembered is what is wrong with a source by what was seen of it for a while.
func (p problem) remembered(o *overview, s *collector.SourceView, c clock) (found []problem) {
	p.Why, p.Do = "", ""
	t, h := o.checks.troubles.sources[s.Name], s.Health
	add := func(so bool, what, why, do, alert string) {
		if so {
			next := p
			next.What, next.Why, next.Do, next.Alert = what, why, do, alert
			found = append(found, next.with(warning, c))
		}
	}
	add(t.lagging, "Polls are late", "Its jobs are asked "+span(h.Lag)+" later than they should be: what is shown of them is that old.",
		"Raise the request budget of this source, its max_in_flight, or the intervals.", "TrainbridgeLagging")
	add(t.failing && h.Up, "Polls fail", "More than half of the polls of the last ten minutes failed, though some come through.",
		"See the log for how they fail; what is shown of its jobs may be old.", "TrainingSourceDown")
	add(t.limited && h.Up, "Refused for asking too often", "The service refused more than one poll in twenty within the last quarter of an hour.", // one that is down says why
		"Lower the request budget of this source, or find who else uses the key.", "TrainingSourceRateLimited")
	alert := "" // it waits whether it goes on
	if t.held {
		alert = "TrainbridgeSeriesHeldBack"
	}
	what, over := heldBack(s, t)
	add(over, "Not all is shown", what, "Raise metrics.jobs_per_source, metrics.series or metrics.names_per_job in the configuration, or let the source select fewer jobs.", alert)
	add(t.strange, "Answers not understood", strange(s), "Its API has changed, or something answers in its place: see the log for the fields, and look for a newer release.",
		"TrainingSourceSchemaDrift")
	if t.skewed && h.Skew != nil {
		add(true, "Clocks differ", "The service's clock and this machine's are "+span(h.Skew.Abs())+" apart, so ages and durations are off by that.",
			"Check the time synchronisation of this machine first.", "TrainingSourceClockSkew")
	}
	return found
}

// heldBack says what is not shown because of a limit.
func heldBack(s *collector.SourceView, t sourceTrouble) (text string, any bool) {
	var parts []string
	if s.Suppressed > 0 {
		parts = append(parts, plural(int(s.Suppressed), "job is", "jobs are")+" over a limit: counted, but neither on this page nor watched here.")
	}
	if s.HeldGroups > 0 {
		parts = append(parts, plural(s.HeldGroups, "group is", "groups are")+" over a limit, and in no metric.")
	}
	if t.values {
		parts = append(parts, "Some values of jobs' own names are over a limit, and in no metric.")
	}
	return strings.Join(parts, " "), len(parts) > 0
}

// strange names what was not understood.
func strange(s *collector.SourceView) string {
	text := "Within the last hour the service told something that this program does not know"
	if s.Totals == nil {
		return text + "."
	}
	var names []string
	for _, field := range s.Totals.Unknown {
		names = append(names, short(clean(field.Name), 40))
	}
	if len(names) > 0 {
		text += "; so far " + listed(names, 6)
	}
	if n := s.Totals.Quarantined; n > 0 {
		text += "; " + plural(int(min(n, math.MaxInt32)), "item was set aside", "items were set aside")
	}
	return text + "."
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
	p.What, p.at, p.When = "Credential expires", h.CredentialExpiry, "ends"
	if left < expiryAlert {
		p.Alert = "TrainingSourceCredentialExpiring"
	}
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
	if o.checks.troubles.stuck {
		stuck := base
		stuck.What, stuck.Why, stuck.Alert = "GPU reader stuck", "The process that reads the GPUs hangs in the driver and cannot be ended; another one was started beside it.", "TrainingGpuHelperStuck"
		stuck.Do = "A call into the driver does not return: look for XIDs and hung tasks in the kernel log; only a reload of the driver or a reboot ends it."
		found = append(found, stuck.with(warning, c))
	}
	for _, a := range h.Assigned {
		if !a.Up {
			base.Do, base.Alert = "Mend what the log names; until then no GPU is shown at its job, and nothing is said of jobs whose GPUs idle or hang.", "TrainingGpuAssignmentUnreadable"
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
	mark := o.checks.troubles.gpus[g.ID]
	for _, v := range g.Values {
		p, l := base.value(v, c)
		if v.Metric == collector.DeviceClockEvent && mark.warm.Known() { // the alert waits whether it goes on
			p.Alert, p.at, p.When = "TrainingGpuThrottled", mark.warm, "began"
		}
		told := v.Metric == collector.DeviceXIDLast && slices.Contains(strings.Fields(mark.repeats), v.Label)
		if l > fine && !told {
			found = append(found, p.with(l, c))
		}
	}
	return append(found, base.marked(g, mark, c)...)
}

// marked is what is wrong with a GPU by what was seen of it for a while.
func (p problem) marked(g *collector.GPU, m gpuMark, c clock) (found []problem) {
	add := func(so bool, l level, at collector.Time, what, why, do, alert string) {
		if so {
			next := p
			next.What, next.Why, next.Do, next.Alert, next.at, next.When = what, why, do, alert, at, "began"
			if l == critical {
				next.When, next.Lead = "last one", leadNow
			}
			found = append(found, next.with(l, c))
		}
	}
	add(m.ecc.Known(), critical, m.ecc, "GPU memory error", "ECC found errors in the memory that it could not correct.",
		"What the job on it computes may be wrong: restart it elsewhere, from a checkpoint before the first of them, and reset the GPU.", "TrainingGpuUncorrectableEcc")
	add(m.repeats != "", critical, m.repeated, "XID "+m.repeats+" again", "Several jobs within a day had this XID here and on no other GPU: it is the GPU, not the program.",
		"Drain the machine and run the vendor's diagnostics.", "TrainingGpuXidRepeatsAcrossJobs")
	add(m.slow.Known(), warning, m.slow, "GPU slower than others", "Its clock is at least 15 % below those of the other GPUs of its job, which all wait for it.",
		"Look at its temperature, power and throttling; if it stays so, keep new jobs away from it.", "TrainingJobStragglerGpu")
	add(m.narrow.Known(), warning, m.narrow, "PCIe link narrow", lanes(g), "Reboot when its job is over; if that does not help, reseat or replace the card or the riser.",
		"TrainingGpuPcieDowntrained")
	byHardware := heldBy(g, "hw_thermal") || heldBy(g, "hw_power_brake") // which has an entry already
	add(m.warm.Known() && !byHardware, warning, m.warm, "GPU slowed", "The driver holds its clocks down to keep it cool.",
		"Compare the temperatures of its neighbours: one is a fan or a heat sink, all of a machine are cooling or power.", "TrainingGpuThrottled")
	return found
}

func lanes(g *collector.GPU) string {
	width, _ := g.Value(collector.DevicePCIeWidth, "")
	most, _ := g.Value(collector.DevicePCIeWidthMax, "")
	return fmt.Sprintf("It uses %s of %s PCIe lanes, so that data comes to it slower.", number(width), number(most))
}

const adviceVanished = "What ran on it is lost. Keep new jobs away, look for XID 79 in the kernel log, and reboot the machine."

// value says what is wrong by one value of a GPU; fine if nothing is.
func (p problem) value(v collector.GPUValue, c clock) (problem, level) {
	switch {
	case v.Metric == collector.DeviceXIDLast && v.Value > 0 && c.now.Sub(time.Unix(int64(v.Value), 0)) < newsFor:
		return p.xid(v)
	case v.Metric == collector.DeviceRowRemapFailure && v.Value == 1:
		p.What, p.Why, p.Alert = "GPU memory broken", "A row of the memory could not be remapped: the GPU needs to be replaced.", "TrainingGpuRowRemapFailed"
		p.Do = "Drain the machine, confirm with the vendor's diagnostics, and open a return."
		return p, critical
	case v.Metric == collector.DeviceRowRemapPending && v.Value == 1, v.Metric == collector.DeviceRetiredPending && v.Value == 1:
		p.What, p.Why = "GPU memory repair", "A repair of the memory waits for a reset of the GPU."
		p.Do = "Reset it when its job is over."
		return p, warning
	case v.Metric == collector.DeviceClockEvent && v.Value == 1 && (v.Label == "hw_thermal" || v.Label == "hw_power_brake"):
		p.What = "GPU slowed"
		p.Why = map[string]string{"hw_thermal": "It is too hot, so its clocks are held down.", "hw_power_brake": "The power supply holds its clocks down."}[v.Label]
		p.Do = "Compare the temperatures of its neighbours: one is a fan or a heat sink, all of a machine are cooling or power."
		return p, warning
	}
	return p, fine
}

func (p problem) xid(v collector.GPUValue) (problem, level) {
	code := short(clean(v.Label), 12)
	p.What, p.at, p.When, p.Lead = "XID "+code, collector.TimeOf(time.Unix(int64(v.Value), 0)), "reported", leadNow
	p.Why = "The driver reported error XID " + code + "."
	switch {
	case slices.Contains(criticalXIDs, v.Label):
		p.Alert = "TrainingGpuXidCritical"
		p.Do = "The job that was on it then is lost or will be: keep new jobs away, then reset the GPU or reboot, as the runbook of the alert says for this XID."
		return p, critical
	case slices.Contains(applicationXIDs, v.Label):
		p.Alert = "TrainingGpuXidApplication"
		p.Do = "Most often the program's own mistake: the job that was on it then has to be restarted, the GPU goes on."
	default:
		p.Do = "See what NVIDIA's catalogue of XIDs says of it: some are of the hardware, and some only tell."
	}
	p.past = true
	return p, warning
}

// leadNow is said before the job of a GPU where something happened that may have been under another one.
const leadNow = "On it now:"

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
