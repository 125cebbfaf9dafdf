package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// faultWords say what a class of errors means for whoever has to act.
var faultWords = map[string]string{
	"auth":         "the service refuses the credential; check that the key is still valid",
	"dns":          "the name of the service cannot be resolved",
	"connect":      "no connection to the service",
	"tls":          "the service's certificate is not accepted",
	"timeout":      "the service does not answer in time",
	"rate_limited": "the service says that there are too many requests",
	"quota":        "the quota at the service is used up",
	"decode":       "the service's answers cannot be understood",
	"too_large":    "the service's answers are too large",
	"not_found":    "the address of the service is wrong, or what was asked for is gone",
	"http_4xx":     "the service refuses the requests",
	"http_5xx":     "the service reports an error of its own",
}

func faultWord(class string) string {
	if w, ok := faultWords[class]; ok {
		return w
	}
	return "polls fail; the log says why"
}

// sourceProblems are what is wrong with sources.
func sourceProblems(snap *collector.Snapshot, kinds map[string]string, c clock) (found []problem) {
	for _, s := range snap.Sources {
		if _, configured := kinds[s.Name]; !configured {
			continue
		}
		base := problem{Name: labelOf(s.Name, 48), Link: "#sources", Source: clean(s.Name)}
		h := s.Health
		if h.Known && !h.Up {
			base.What, base.Why, base.at = "Source down", sourceDown(s), h.LastSuccess
			found = append(found, base.with(critical, c))
		}
		if left := h.CredentialExpiry.Std().Sub(c.now); h.CredentialExpiry.Known() && !h.Renewed && left < expirySoon {
			base.What, base.at = "Credential expires", h.CredentialExpiry
			base.Why = "The credential in use ends on " + date(h.CredentialExpiry) + ". Put a new one in its place before then."
			l := warning
			if left <= 0 {
				base.What, base.Why, l = "Credential expired", "The credential in use ended on "+date(h.CredentialExpiry)+".", critical
			}
			found = append(found, base.with(l, c))
		}
		if d := h.DemandRatio; d != nil && *d > 1 {
			base.What, base.at = "Requests short", 0
			base.Why = fmt.Sprintf("Asking as often as configured would take %s times the request budget, so jobs are asked less often.", number(*d))
			found = append(found, base.with(warning, c))
		}
	}
	return found
}

func sourceDown(s *collector.SourceView) string {
	why := strings.ToUpper(faultWord(s.Health.LastError)[:1]) + faultWord(s.Health.LastError)[1:] + "."
	n := int64(0)
	for _, p := range []collector.Phase{collector.Running, collector.Initializing, collector.Paused, collector.Stopping, collector.Pending} {
		n += s.Jobs[p]
	}
	if n > 0 {
		why += " What is shown of its " + plural(int(n), "job that has not ended is old.", "jobs that have not ended is old.")
	}
	return why
}

func (p problem) with(l level, c clock) problem {
	p.level, p.Level, p.At = l, levelSigns[l], c.moment(p.at)
	return p
}

// fatalXIDs need a reset of the GPU or the node at least; the others are often the application's own.
var fatalXIDs = []string{"48", "62", "64", "74", "79", "92", "94", "95", "109", "110", "119", "120", "136", "140", "143", "155", "156", "158"}

// gpuProblems are what is wrong with the GPUs of this machine.
func gpuProblems(o *overview, c clock) (found []problem) {
	v := o.snap.GPUs
	if v == nil {
		return nil
	}
	h := v.Host
	base := problem{Name: labelOf(cmp.Or(h.Name, "this machine"), 48), Link: "#gpus", Source: "GPUs"}
	switch {
	case !h.Up && h.Fault == "starting":
		return nil
	case !h.Up:
		base.What, base.Why = "GPUs unreadable", cmp.Or(clean(h.Detail), "The driver does not answer.")
		found = append(found, base.with(critical, c))
	case h.Expected != nil && h.Seen+silent(v.GPUs) < *h.Expected: // those that are silent are named
		base.What, base.Why = "GPUs missing", fmt.Sprintf("%d of %d GPUs answer.", h.Seen, *h.Expected)
		found = append(found, base.with(critical, c))
	case h.Listed > h.Seen+silent(v.GPUs): // they were never read, so nobody knows who they are
		base.What, base.Why = "GPUs missing", fmt.Sprintf("The driver lists %d GPUs, and %d answer.", h.Listed, h.Seen)
		found = append(found, base.with(critical, c))
	}
	for _, a := range h.Assigned {
		if !a.Up {
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
	base := problem{Name: gpuName(g), Link: "#gpus", Source: "GPUs"}
	jobs := ""
	if len(g.Jobs) > 0 {
		jobs = " It belongs to " + short(clean(o.names[g.Jobs[0]]), 60) + "."
		if n := len(g.Jobs) - 1; n > 0 {
			jobs = strings.TrimSuffix(jobs, ".") + " and " + plural(n, "other job.", "other jobs.")
		}
	}
	if !g.Up && o.snap.GPUs.Host.Up {
		base.What, base.at = "GPU silent", g.ReadAt
		base.Why = "This GPU does not answer." + jobs
		found = append(found, base.with(critical, c))
	}
	for _, v := range g.Values {
		p := base
		switch {
		case v.Metric == collector.DeviceXIDLast && v.Value > 0 && c.now.Sub(time.Unix(int64(v.Value), 0)) < newsFor:
			l := warning
			if slices.Contains(fatalXIDs, v.Label) {
				l = critical
			}
			p.What, p.at = "XID "+short(clean(v.Label), 12), collector.TimeOf(time.Unix(int64(v.Value), 0))
			p.Why = "The driver reported error XID " + short(clean(v.Label), 12) + "." + jobs
			found = append(found, p.with(l, c))
		case v.Metric == collector.DeviceRowRemapFailure && v.Value == 1:
			p.What, p.Why = "GPU memory", "A row of the memory could not be remapped: the GPU needs to be replaced."+jobs
			found = append(found, p.with(critical, c))
		case v.Metric == collector.DeviceRowRemapPending && v.Value == 1, v.Metric == collector.DeviceRetiredPending && v.Value == 1:
			p.What, p.Why = "GPU memory", "A repair of the memory waits for a reset of the GPU."+jobs
			found = append(found, p.with(warning, c))
		case v.Metric == collector.DeviceClockEvent && v.Value == 1 && (v.Label == "hw_thermal" || v.Label == "hw_power_brake"):
			p.What = "GPU slowed"
			p.Why = map[string]string{"hw_thermal": "It is too hot, so its clocks are held down.", "hw_power_brake": "The power supply holds its clocks down."}[v.Label] + jobs
			found = append(found, p.with(warning, c))
		}
	}
	return found
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

// order sorts worst first, then what is so now before what has happened, then newest; what has no time comes after what has.
func order(found []problem) {
	slices.SortStableFunc(found, func(a, b problem) int {
		return cmp.Or(cmp.Compare(b.level, a.level), a.happened()-b.happened(), cmp.Compare(b.at, a.at))
	})
}

// happened is 1 for what is over and will leave the list by itself, and 0 for what is so as long as it is shown.
func (p problem) happened() int {
	if p.What == kindWords[jobFailed] || strings.HasPrefix(p.What, "XID ") {
		return 1
	}
	return 0
}
