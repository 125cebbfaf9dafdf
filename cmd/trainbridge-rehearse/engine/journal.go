package engine

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxIncidents is how many different things may go wrong. What comes after them is counted as one.
const maxIncidents = 50

// A journal listens to what Prometheus logs. That is the one place where all of it says what went wrong.
type journal struct {
	next slog.Handler // may be nil

	mu     sync.Mutex
	wrong  incidents
	failed incidents // scrapes
}

// incidents are things that went wrong, by text.
type incidents struct {
	index map[string]int
	all   []Incident
}

func newJournal(log *slog.Logger) *journal {
	j := &journal{}
	if log != nil {
		j.next = log.Handler()
	}
	return j
}

// logger is what a part of Prometheus logs with.
func (j *journal) logger(part string) *slog.Logger {
	h := &listener{journal: j, next: j.next}
	return slog.New(h).With("part", part)
}

func (j *journal) trouble() []Incident {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.wrong.all)
}

func (j *journal) scrapes() []Incident {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.failed.all)
}

func (i *incidents) add(text string, at time.Time) {
	if _, known := i.index[text]; !known && len(i.all) >= maxIncidents {
		text = "and more"
	}
	n, known := i.index[text]
	if !known {
		if i.index == nil {
			i.index = make(map[string]int)
		}
		n = len(i.all)
		i.index[text] = n
		i.all = append(i.all, Incident{Text: text, First: at})
	}
	i.all[n].Times++
	i.all[n].Last = at
}

// A listener is a slog.Handler that keeps warnings, errors and failed scrapes, and passes everything on.
type listener struct {
	journal *journal
	next    slog.Handler
	told    []string // attributes of the logger that say where
}

// Enabled takes debug messages too: Prometheus tells of a failed scrape by one.
func (l *listener) Enabled(context.Context, slog.Level) bool { return true }

// Handle keeps a record and passes it on.
func (l *listener) Handle(ctx context.Context, r slog.Record) error {
	scrape := r.Level < slog.LevelWarn && (r.Message == "Scrape failed" || r.Message == "Append failed")
	if scrape || r.Level >= slog.LevelWarn {
		words := slices.Clone(l.told)
		var cause string
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "err" {
				cause = a.Value.String()
			} else if word, ok := place(a); ok {
				words = append(words, word)
			}
			return true
		})
		l.keep(scrape, r, words, cause)
	}
	if l.next == nil || !l.next.Enabled(ctx, r.Level) {
		return nil
	}
	return l.next.Handle(ctx, r)
}

func (l *listener) keep(scrape bool, r slog.Record, words []string, cause string) {
	l.journal.mu.Lock()
	defer l.journal.mu.Unlock()
	if scrape {
		l.journal.failed.add(cause, r.Time)
		return
	}
	text := strings.Join(append(words, r.Message), ": ")
	if cause != "" {
		text += ": " + cause
	}
	l.journal.wrong.add(text, r.Time)
}

// place is an attribute that tells where something went wrong.
func place(a slog.Attr) (string, bool) {
	switch a.Key {
	case "part", "file", "group", "name", "alert", "target":
		return a.Key + " " + a.Value.String(), true
	}
	return "", false
}

// WithAttrs is a listener that knows more of the place.
func (l *listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *l
	with.told = slices.Clone(l.told)
	for _, a := range attrs {
		if word, ok := place(a); ok {
			with.told = append(with.told, word)
		}
	}
	if l.next != nil {
		with.next = l.next.WithAttrs(attrs)
	}
	return &with
}

// WithGroup is a listener within a group.
func (l *listener) WithGroup(name string) slog.Handler {
	with := *l
	if l.next != nil {
		with.next = l.next.WithGroup(name)
	}
	return &with
}
