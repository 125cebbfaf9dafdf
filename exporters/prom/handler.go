package prom

import (
	"bytes"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/trainbridge/trainbridge/collector"
)

// Options are what a [Handler] needs.
type Options struct {
	// Snapshot returns what to expose; nil means that nothing can be said yet, which is answered with 503.
	Snapshot func() *collector.Snapshot
	// Self gathers the bridge's own metrics; nil is none.
	Self prometheus.Gatherer
	// JobLabels are attribute keys of the info series, such as "training.job.name", that every series of a job shall
	// carry. Keys that are not among [JobLabels] have no effect.
	JobLabels []string
	// MaxRequests is how many answers may be on their way at once; others get 503. Default 10.
	MaxRequests int
	// Timeout is how long a reader may take. Default 15 s.
	Timeout time.Duration
	// Log gets what goes wrong with the bridge's own metrics; default is to discard it.
	Log *slog.Logger
}

// Handler answers scrapes. It is safe for concurrent use.
type Handler struct {
	o       Options
	encoder encoder
	taken   map[string]bool // names that the bridge's own families must not have
	slots   slots
}

// New is a handler with an empty cache: the first answer renders everything.
func New(o Options) *Handler {
	if o.MaxRequests <= 0 {
		o.MaxRequests = 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{o: o, encoder: encoder{promoted: o.JobLabels}}
	h.taken = h.encoder.of(Text).names()
	for range o.MaxRequests {
		h.slots.give(&answer{})
	}
	return h
}

// slots are the answers that may be made at once. The last one used is used next, so that a single scraper warms only one.
type slots struct {
	mu   sync.Mutex
	idle []*answer
}

// take returns nil if all are in use.
func (s *slots) take() *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle) == 0 {
		return nil
	}
	last := len(s.idle) - 1
	a := s.idle[last]
	s.idle = s.idle[:last]
	return a
}

func (s *slots) give(a *answer) {
	a.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, a)
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are supported", http.StatusMethodNotAllowed)
		return
	}
	a := h.slots.take()
	if a == nil {
		http.Error(w, "too many scrapes at once, try again later", http.StatusServiceUnavailable)
		return
	}
	defer h.slots.give(a)
	format, contentType := negotiate(r.Header)
	a.begin(format, acceptsGzip(r.Header))
	a.self = h.self(a.self, format)
	ok, err := h.encoder.answer(a, h.o.Snapshot)
	switch {
	case err != nil:
		h.o.Log.Error("a scrape could not be answered", "err", err)
		http.Error(w, "the metrics could not be encoded, see the log", http.StatusInternalServerError)
	case !ok:
		http.Error(w, "the state is being loaded, try again later", http.StatusServiceUnavailable)
	default:
		h.send(w, a, contentType)
	}
}

func (h *Handler) send(w http.ResponseWriter, a *answer, contentType string) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Add("Vary", "Accept, Accept-Encoding")
	header.Set("X-Content-Type-Options", "nosniff")
	if a.gzip {
		header.Set("Content-Encoding", "gzip")
	}
	// Writers that know no deadline, as in tests, have no slow readers. The server clears the deadline after the answer.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.o.Timeout))
	if err := a.writeTo(w); err != nil {
		h.o.Log.Debug("a scraper went away before the end of its answer", "err", err)
	}
}

// self appends the bridge's own families. One that fails or has a taken name is left out: those of the jobs matter more.
func (h *Handler) self(dst []byte, format Format) []byte {
	if h.o.Self == nil {
		return dst
	}
	families, err := h.o.Self.Gather()
	if err != nil {
		h.o.Log.Warn("some of the bridge's own metrics could not be gathered", "err", err)
	}
	buf := bytes.NewBuffer(dst)
	enc := expfmt.NewEncoder(buf, format.expfmt())
	for _, f := range families {
		if h.taken[f.GetName()] {
			h.o.Log.Warn("one of the bridge's own metrics has a name of the schema and is left out", "name", f.GetName())
			continue
		}
		before := buf.Len()
		if err := enc.Encode(f); err != nil {
			buf.Truncate(before)
			h.o.Log.Warn("one of the bridge's own metrics could not be encoded", "name", f.GetName(), "err", err)
		}
	}
	return buf.Bytes()
}
