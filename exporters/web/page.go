package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// PageOptions are what the status page shows.
type PageOptions struct {
	Version  string
	Snapshot func() *collector.Snapshot // nil while the state is being loaded
	Kinds    func() map[string]string   // the kind of each configured source, by name
	Durable  func() bool                // the state outlives the process
	Warnings func() []string            // what else a person should see; may be nil
	Proxies  func() []string            // sources with a pass-through for trainers
	Log      *slog.Logger               // required
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

// Page is the status page. It shows names, counts and times: nothing of the configuration, and no text from a service.
func Page(o PageOptions) http.Handler {
	t := template.Must(template.New("page").Parse(pageHTML))
	css := template.CSS(pageCSS) //nolint:gosec // our own file
	sum := sha256.Sum256([]byte(pageCSS))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			plain(w, http.StatusMethodNotAllowed, "use GET")
			return
		}
		var page bytes.Buffer
		if err := t.Execute(&page, o.view(css, time.Now())); err != nil {
			o.Log.Error("the status page could not be made", "err", err)
			plain(w, http.StatusInternalServerError, "the page could not be made, see the log")
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Cache-Control", "no-store")
		w.Write(page.Bytes())
	})
}

// view is what the template reads.
type view struct {
	CSS     template.CSS
	Version string
	Ready   bool
	Durable bool
	Jobs    int
	Groups  int
	Sources []source
	Proxies []string

	Warnings []string
}

type source struct {
	Name, Kind, State, Error, LastPoll string
	All, Running, Failed, Waiting      int64
	Configured                         bool
}

func (o *PageOptions) view(css template.CSS, now time.Time) view {
	v := view{CSS: css, Version: o.Version, Durable: o.Durable(), Proxies: o.Proxies()}
	if o.Warnings != nil {
		v.Warnings = o.Warnings()
	}
	snap := o.Snapshot()
	if snap == nil {
		return v
	}
	v.Ready, v.Jobs, v.Groups = true, snap.Jobs.Len(), snap.Groups.Len()
	kinds := o.Kinds()
	for _, s := range snap.Sources {
		kind, configured := kinds[s.Name]
		v.Sources = append(v.Sources, row(s, kind, configured, now))
	}
	return v
}

func row(s *collector.SourceView, kind string, configured bool, now time.Time) source {
	r := source{
		Name: s.Name, Kind: kind, Configured: configured, State: "no longer configured", LastPoll: "never", Error: s.Health.LastError,
		Running: s.Jobs[collector.Running], Failed: s.Jobs[collector.Failed], Waiting: s.Jobs[collector.Pending],
	}
	for _, n := range s.Jobs {
		r.All += n
	}
	switch {
	case !configured:
	case !s.Health.Known:
		r.State = "not asked yet"
	case s.Health.Up:
		r.State = "up"
	default:
		r.State = "down"
	}
	if s.Health.LastPoll.Known() {
		r.LastPoll = now.Sub(s.Health.LastPoll.Std()).Truncate(time.Second).String() + " ago"
	}
	return r
}
