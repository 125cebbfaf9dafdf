package web

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// PageOptions are what the pages show.
type PageOptions struct {
	Version  string
	Snapshot func() *collector.Snapshot // nil while the state is being loaded
	Kinds    func() map[string]string   // the kind of each configured source, by name
	Durable  func() bool                // the state outlives the process
	Warnings func() []Warning           // what is wrong with the bridge itself; may be nil
	Proxies  func() []string            // sources with a pass-through for trainers
	History  *History                   // what curves are drawn from; nil draws none
	Done     <-chan struct{}            // closed when the program stops: streams of updates end; may be nil
	Viewers  int                        // streams of updates at once, default 32
	Log      *slog.Logger               // required
}

// Warning is something that is wrong with the bridge itself, in words for people.
type Warning struct {
	Critical bool
	Why      string
	Do       string    // what somebody can do about it
	Alert    string    // the shipped alert of it
	When     string    // what happened At, such as "began"
	At       time.Time // zero if it is not known
}

const (
	viewersUsual = 32
	gzipFrom     = 4 << 10 // bytes
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// Page is the status page, the page of a job and their updates: mount it at /, /jobs and /api/v1/events. It shows what the
// services say about jobs, as text, and nothing of the configuration but names.
func Page(o PageOptions) http.Handler { return newSite(o) }

// site is the pages at work.
type site struct {
	o      PageOptions
	pages  *template.Template
	policy string
	look   looker
	now    func() time.Time

	viewers chan struct{} // a place for each stream
	recent  recent
}

func newSite(o PageOptions) *site {
	if o.Viewers <= 0 {
		o.Viewers = viewersUsual
	}
	s := &site{o: o, now: time.Now, viewers: make(chan struct{}, o.Viewers)}
	s.look = looker{snapshot: o.Snapshot, kinds: o.Kinds, now: func() time.Time { return s.now() }, history: o.History}
	s.pages = template.Must(template.New("page").Parse(pageHTML))
	s.policy = "default-src 'none'; script-src " + digest(pageJS) + "; style-src " + digest(pageCSS) +
		"; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return s
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		plain(w, http.StatusMethodNotAllowed, "use GET")
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/events"):
		s.events(w, r)
	case strings.HasSuffix(r.URL.Path, "/jobs"):
		s.serveJob(w, r)
	default:
		s.serveStatus(w, r)
	}
}

// shell is what every page has.
type shell struct {
	CSS     template.CSS
	JS      template.JS
	Title   string
	Version string
	Ready   bool
	Durable bool
	Stream  string // address of the updates
	Millis  int64  // when the page was made
	Clock   string // the same for people
}

func (s *site) shell(c clock) shell {
	return shell{
		CSS: template.CSS(pageCSS), JS: template.JS(pageJS), //nolint:gosec // our own files
		Version: s.o.Version, Durable: s.o.Durable(), Title: "trainbridge", Clock: date(collector.TimeOf(c.now)), Millis: c.now.UnixMilli(),
	}
}

func (s *site) serveStatus(w http.ResponseWriter, r *http.Request) {
	q := queryOf(r.URL.Query())
	sel := s.look.find(q)
	if sel == nil {
		s.write(w, r, http.StatusOK, "status", &statusView{shell: s.shell(clock{now: s.now()})})
		return
	}
	v := s.status(sel, clock{now: s.now()})
	stamp := rand.Text()
	s.recent.keep(stamp, versionsOf(s, sel))
	v.Stream += "&stamp=" + stamp
	s.write(w, r, http.StatusOK, "status", v)
}

func (s *site) serveJob(w http.ResponseWriter, r *http.Request) {
	c := clock{now: s.now()}
	o := s.look.glance()
	if o == nil {
		s.write(w, r, http.StatusOK, "job", &jobView{shell: s.shell(c)})
		return
	}
	q := r.URL.Query()
	v, found := s.job(o, collector.Key{Source: q.Get("source"), ID: q.Get("id")}, c)
	status := http.StatusOK
	if !found {
		status = http.StatusNotFound
	}
	s.write(w, r, status, "job", v)
}

// write makes a page and sends it, compressed if the browser can read that.
func (s *site) write(w http.ResponseWriter, r *http.Request, status int, name string, view any) {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, view); err != nil {
		s.o.Log.Error("a page could not be made", "page", name, "err", err)
		plain(w, http.StatusInternalServerError, "the page could not be made, see the log")
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", s.policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if page.Len() < gzipFrom || !acceptsGzip(r) {
		w.WriteHeader(status)
		w.Write(page.Bytes())
		return
	}
	h.Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return // the level is a constant
	}
	_, err = z.Write(page.Bytes())
	if err = errors.Join(err, z.Close()); err != nil {
		s.o.Log.Debug("a page could not be sent", "err", err)
	}
}

func acceptsGzip(r *http.Request) bool {
	for _, e := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(e), ";")
		if strings.EqualFold(name, "gzip") && !strings.HasSuffix(strings.TrimSpace(q), "=0") {
			return true
		}
	}
	return false
}

// recent remembers which rows were sent with the newest pages, so that a stream of updates begins with what is new.
type recent struct {
	mu    sync.Mutex
	order []string
	sent  map[string]map[string]any
}

const recentMost = 16 // pages

func (p *recent) keep(stamp string, versions map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sent == nil {
		p.sent = map[string]map[string]any{}
	}
	p.sent[stamp] = versions
	if p.order = append(p.order, stamp); len(p.order) > recentMost {
		delete(p.sent, p.order[0])
		p.order = p.order[1:]
	}
}

// take gives what was kept, once.
func (p *recent) take(stamp string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	versions := p.sent[stamp]
	delete(p.sent, stamp)
	return versions
}
