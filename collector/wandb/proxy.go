package wandb

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// Register makes a job known, durably, before it returns.
type Register func(context.Context, collector.Registration) error

// Proxy is a recording pass-through to the service, for trainers: they use it as their base URL and keep working as before,
// and the bridge learns the ids of their jobs from the answers, which nothing else tells. Requests carry the trainer's
// own credential and never the bridge's; bodies stream through; statuses and headers are those of the service. Failing to
// learn is logged and counted and never shown to the trainer.
//
// It is an http.Handler for paths below the source's base URL and safe for concurrent use.
type Proxy struct {
	reverse  *httputil.ReverseProxy
	source   string
	register Register
	log      *slog.Logger
	models   models

	slots   chan struct{} // registrations at once
	waiting sync.WaitGroup
	failed  atomic.Uint64
}

// Bounds of the proxy.
const (
	maxCopy         = 64 << 10         // of an answer that is looked at
	maxRegistering  = 256              // registrations at once
	registerTimeout = 30 * time.Second // of one registration
)

// Proxy makes the pass-through of the source. Jobs that it sees created are handed to register.
func (s *Source) Proxy(register Register, log *slog.Logger) *Proxy {
	p := &Proxy{
		source: s.name, register: register, log: log, models: models{limit: maxModels},
		slots: make(chan struct{}, maxRegistering),
	}
	p.reverse = &httputil.ReverseProxy{
		Rewrite:        func(pr *httputil.ProxyRequest) { rewrite(pr, s.base) },
		Transport:      s.upstream,
		FlushInterval:  -1,
		ModifyResponse: p.watch,
		ErrorHandler:   p.fail,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return p
}

// Known tells the proxy who a model is, from a job of it that was learned before the bridge was started or configured anew: the
// next job of the model belongs to the same group. Of several Infos of one model the last counts, but one whose group is only
// the model's id never takes the place of one with a name. An Info without a model is ignored.
func (p *Proxy) Known(i collector.Info) { p.models.seed(i) }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if hasDots(r.URL.Path) {
		http.Error(w, `{"detail":"trainbridge: the path holds \"..\""}`, http.StatusBadRequest)
		return
	}
	w.Header()["Content-Type"] = nil // none is made up for an answer that has none
	kind := kindOf(r)
	if kind == notWatched {
		p.reverse.ServeHTTP(w, r)
		return
	}
	rec := &recording{kind: kind, model: finder{keys: []string{modelKey}}}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), recordingKey{}, rec)))
}

// Wait returns when everything that was seen so far is registered or given up. Call it after the last request, before the
// ledger closes.
func (p *Proxy) Wait() { p.waiting.Wait() }

// Failures is how many jobs were seen and could not be registered.
func (p *Proxy) Failures() uint64 { return p.failed.Load() }

// hasDots reports whether a path would leave the base URL's prefix.
func hasDots(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." || part == "." {
			return true
		}
	}
	return false
}

// rewrite points a request at the service. Nothing is added to it, and the query stays as it was written. Only a compression
// that the bridge cannot read is not asked for where it has to read the answer.
func rewrite(pr *httputil.ProxyRequest, base *url.URL) {
	pr.SetURL(base)
	if scheme, _, _ := strings.Cut(pr.In.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Basic") {
		pr.Out.Header.Del("Authorization") // the service takes bearer keys only: this is a password for the bridge's own port
	}
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery
	rec, ok := pr.Out.Context().Value(recordingKey{}).(*recording)
	if !ok {
		return
	}
	if accepted := pr.Out.Header.Get("Accept-Encoding"); accepted != "" {
		pr.Out.Header.Set("Accept-Encoding", readable(accepted))
	}
	if pr.Out.Body != nil && pr.Out.Header.Get("Content-Encoding") == "" {
		pr.Out.Body = &tee{ReadCloser: pr.Out.Body, add: rec.model.add}
	}
}

// readable keeps of an Accept-Encoding header what unpack undoes.
func readable(accepted string) string {
	var kept []string
	for coding := range strings.SplitSeq(accepted, ",") {
		name, _, _ := strings.Cut(coding, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip", "identity":
			kept = append(kept, strings.TrimSpace(coding))
		}
	}
	if len(kept) == 0 {
		return "identity"
	}
	return strings.Join(kept, ", ")
}

// fail answers for a service that cannot be reached, in the shape of its own errors.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		p.log.Warn("A trainer's request could not be passed on", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadGateway)
	io.WriteString(w, `{"detail":"trainbridge: the training service cannot be reached"}`)
}

// watch looks at an answer while it streams past.
func (p *Proxy) watch(resp *http.Response) error {
	rec, ok := resp.Request.Context().Value(recordingKey{}).(*recording)
	if !ok || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil
	}
	encoding := resp.Header.Get("Content-Encoding")
	answer := &prefix{}
	resp.Body = &tee{ReadCloser: resp.Body, add: answer.add, ended: func() { p.learn(rec, encoding, answer.buf.Bytes()) }}
	return nil
}

// recordingKey is the context key of a *recording.
type recordingKey struct{}

// recording is what is kept of one exchange.
type recording struct {
	kind  watched
	model finder // of the request
}

// prefix keeps the beginning of a stream.
type prefix struct{ buf bytes.Buffer }

func (p *prefix) add(b []byte) { p.buf.Write(b[:min(len(b), maxCopy-p.buf.Len())]) }

// tee shows what is read to add, and tells once when the end was reached.
type tee struct {
	io.ReadCloser
	add   func([]byte)
	ended func()
}

func (t *tee) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.add(b[:n])
	if err == io.EOF {
		t.end()
	}
	return n, err
}

// Close is the end too: a trainer that left early has made a job nevertheless.
func (t *tee) Close() error {
	t.end()
	return t.ReadCloser.Close()
}

func (t *tee) end() {
	if ended := t.ended; ended != nil {
		t.ended = nil
		ended()
	}
}
