package runai

import (
	"log/slog"
	"sync"
	"time"
)

// feature is a part of the API that a tenant or an older version may not have. That it is refused is no failure of the source:
// it goes on without, and tries again every hour. A part that worked before, or was refused only once or twice, is another matter:
// such a refusal may be an accident of something in between, and is a failure like others.
type feature struct {
	name string
	log  *slog.Logger

	mu      sync.Mutex
	works   bool
	refused int       // in a row
	until   time.Time // not asked before
	told    bool
}

const (
	patience = 3 // refusals in a row that are taken for accidents
	retry    = time.Hour
)

func newFeature(name string, log *slog.Logger) *feature { return &feature{name: name, log: log} }

// available reports whether to ask.
func (f *feature) available(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !now.Before(f.until)
}

// worked notes an answer.
func (f *feature) worked() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told {
		f.log.Info("available again", "feature", f.name)
	}
	f.works, f.refused, f.told = true, 0, false
}

// refuse notes a refusal. It reports whether to go on without.
func (f *feature) refuse(now time.Time, err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused++
	if f.works || f.refused < patience {
		return false
	}
	f.until = now.Add(retry)
	if !f.told {
		f.told = true
		f.log.Warn("not available to this account or in this version, going on without", "feature", f.name, "retry", retry, "err", err)
	}
	return true
}
