package nvml

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// limitedLog writes a few lines per reason and minute, with how many were left out.
type limitedLog struct {
	log *slog.Logger
	by  map[string]*reason
}

type reason struct {
	from       time.Time
	lines      int
	suppressed int
}

const (
	logEvery   = time.Minute
	maxReasons = 1024

	maxHelperLines = 20 // of stderr, a minute
	maxTrouble     = 2  // lines a minute that say the same: what comes and goes must not fill the log
)

// warn reports whether it wrote the line.
func (l *limitedLog) warn(why string, lines int, msg string, args ...any) bool {
	now := time.Now()
	r := l.by[why]
	if r == nil {
		if len(l.by) >= maxReasons {
			clear(l.by)
		}
		r = &reason{from: now}
		l.by[why] = r
	}
	if now.Sub(r.from) >= logEvery {
		if r.suppressed > 0 {
			args = append(args, "suppressed", r.suppressed)
		}
		*r = reason{from: now}
	}
	if r.lines >= lines {
		r.suppressed++
		return false
	}
	r.lines++
	l.log.Warn(msg, args...)
	return true
}

// advice is what to do about a fault.
func advice(fault string) string {
	switch fault {
	case "not_built_in":
		return "use a build for Linux with cgo, or remove the section gpus"
	case "no_library":
		return "install the NVIDIA driver, or set gpus.library to its libnvidia-ml.so.1"
	case "no_driver":
		return "load the NVIDIA driver; if nvidia-smi works, let the service or container see its devices (PrivateDevices=no, the NVIDIA runtime); " +
			"remove the section gpus on machines without GPUs"
	case "no_permission":
		return "give the process access to /dev/nvidiactl and /dev/nvidia*; in a container, let the NVIDIA runtime do so"
	case "version_mismatch":
		return "the driver was updated without being reloaded: reboot, or reload its kernel modules"
	case "no_gpu":
		return "the driver runs but knows no GPU: look at dmesg, and at whether the container was given any"
	case endedCrashed:
		return "the driver's library may be at fault: look at dmesg, and at what the helper may have said before"
	case endedSilent:
		return "the driver hangs: look at dmesg; a reboot may be needed if the helper cannot be ended"
	default:
		return "see nvidia-smi and dmesg"
	}
}

// trouble says in words how a GPU does that does not answer.
func trouble(a *account) string {
	switch {
	case a.gone && a.shut:
		return "the driver lists a GPU with its index and cannot open it: look at dmesg; it may need a reset or a reboot"
	case a.gone:
		return "the driver does not list it any more: look at dmesg; it may need a reset or a reboot"
	case a.state == helper.Hung:
		return "a call to the driver does not come back: look at dmesg; it may need a reset or a reboot. Other GPUs are read"
	case a.state == helper.Lost:
		return "the driver has lost it, or it must be reset: look at dmesg for its XID errors"
	case a.state == helper.Failed:
		return "the driver answers with errors: see nvml_call_errors_total and dmesg"
	default:
		return "its values are old"
	}
}

// sayHost logs that GPUs can be read, or no longer can, once.
func (m *Monitor) sayHost(h *collector.GPUHost) {
	now := "up"
	if !h.Up {
		now = h.Fault
	}
	if now == m.saidHost || !h.Up && h.Fault == helper.Starting && m.saidHost == "" {
		return
	}
	first := m.saidHost == ""
	m.saidHost = now
	if h.Up {
		if first || m.toldHost {
			m.log.log.Info("GPUs are read", "driver", h.Versions.Driver, "gpus", h.Seen)
		}
		return
	}
	m.toldHost = m.log.warn("host", maxTrouble, "GPUs cannot be read", "fault", h.Fault, "detail", h.Detail, "advice", advice(h.Fault))
}

// sayGPU logs that a GPU does not answer, or does again, once. What all GPUs have in common is said of the host.
func (m *Monitor) sayGPU(a *account, up bool, now time.Time) {
	m.sayHang(a)
	if up != a.said || m.saidHost != "up" || !up && m.settling(a, now) {
		return
	}
	if p := m.memory.gpus[a.info.Parent]; p != nil && p.said {
		return
	}
	a.said = !up
	args := []any{"hw_id", a.id, "index", a.info.Index, "name", a.info.Name}
	if up {
		a.hung = false
		if a.told {
			m.log.log.Info("GPU answers again", args...)
		}
		return
	}
	a.told = m.log.warn("gpu "+a.id, maxTrouble, "GPU does not answer", append(args, "state", stateOf(a), "detail", trouble(a))...)
	a.hung = a.state == helper.Hung
}

// stateOf is how the GPU does, in one word.
func stateOf(a *account) string {
	if a.gone {
		return "gone"
	}
	return a.state.String()
}

// sayHang logs what comes to light a little later: that a GPU which does not answer hangs.
func (m *Monitor) sayHang(a *account) {
	if !a.said || a.hung || a.gone || a.state != helper.Hung {
		return
	}
	a.hung = true
	m.log.warn("hang "+a.id, maxTrouble, "GPU hangs", "hw_id", a.id, "index", a.info.Index, "name", a.info.Name, "detail", trouble(a))
}

// sayShut logs that a GPU cannot be opened, once. Nobody knows which it is.
func (m *Monitor) sayShut() {
	if m.frame == nil {
		return
	}
	for i := range m.frame.GPUs {
		g := &m.frame.GPUs[i]
		switch {
		case g.ID != "":
			delete(m.saidShut, g.Index)
		case unopened(g) && !m.saidShut[g.Index] && len(m.saidShut) < helper.MaxGPUs:
			m.saidShut[g.Index] = true
			why := trouble(&account{state: g.State})
			m.log.warn("open", maxTrouble*4, fmt.Sprintf("the driver lists GPU %d, which cannot be opened: %s", g.Index, why),
				"index", g.Index, "state", g.State.String())
		}
	}
}

// settling reports whether a GPU may only be late because the helper is new.
func (m *Monitor) settling(a *account, now time.Time) bool {
	well := !a.gone && (a.state == helper.OK || a.state == helper.Slow)
	return well && (m.current == nil || now.Sub(m.current.answered) < m.config.stale())
}

// hear logs what a helper writes to stderr, and keeps what tells of a crash.
func (m *Monitor) hear(line string) {
	for _, sign := range []string{"panic: ", "fatal error: ", "SIG"} {
		if strings.HasPrefix(line, sign) {
			m.words = line
		}
	}
	m.log.warn("stderr", maxHelperLines, "the helper that reads GPUs says", "line", line)
}

// lastWords are why a helper ended that did not say so in a frame.
func (m *Monitor) lastWords(err error) string {
	why := "it ended without a word"
	if err != nil {
		why = collector.CleanWords(err.Error())
	}
	if m.words != "" {
		why, m.words = collector.CleanWords(why+": "+m.words), ""
	}
	return why
}

func (m *Monitor) sayXID(a *account, code string, n uint64) {
	m.log.warn("xid "+a.id+" "+code, 1, "XID error", "hw_id", a.id, "index", a.info.Index, "name", a.info.Name, "xid", code, "count", n)
}
