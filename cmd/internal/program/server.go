package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"golang.org/x/net/netutil"

	"github.com/trainbridge/trainbridge/exporters/web"
)

const defaultAddress = "127.0.0.1:9877"

// webOptions say where and how to listen.
type webOptions struct {
	*toolkit.FlagConfig
	lifecycle    bool           // POST /-/reload works
	historyEvery time.Duration  // between points of the pages' curves; 0 is the default
	listeners    []net.Listener // used instead of the addresses; for the demo and tests
}

func webFlags(c *kingpin.CmdClause) *toolkit.FlagConfig {
	return kingpinflag.AddFlags(c, defaultAddress)
}

// Bounds of the listener.
const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 30 * time.Second // to read a request and to write an answer, but for the pass-through
	idleTimeout    = 2 * time.Minute
	maxHeader      = 64 << 10
	maxConnections = 512
)

// server is the HTTP server at work.
type server struct {
	http *http.Server
	run  *task
}

// listen opens the addresses and answers from now on: that the process lives, and that it is not ready.
func (b *bridge) listen(ctx context.Context) (*server, error) {
	if err := toolkit.Validate(*b.web.WebConfigFile); err != nil {
		return nil, fmt.Errorf("--web.config.file=%s: %w", *b.web.WebConfigFile, err)
	}
	s := &server{http: &http.Server{
		Handler: b.handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	}}
	listeners, special, err := b.web.open(ctx)
	if err != nil {
		return nil, err
	}
	s.run = start(func(context.Context) error {
		if special {
			return toolkit.ListenAndServe(s.http, b.web.FlagConfig, b.log)
		}
		return toolkit.ServeMultiple(listeners, s.http, b.web.FlagConfig, b.log)
	})
	return s, nil
}

// open opens TCP addresses. Sockets of systemd and of virtual machines are special: they are left to the toolkit.
func (o *webOptions) open(ctx context.Context) (listeners []net.Listener, special bool, err error) {
	if o.WebSystemdSocket != nil && *o.WebSystemdSocket {
		return nil, true, nil
	}
	listeners = o.listeners
	if listeners == nil {
		for _, address := range *o.WebListenAddresses {
			if strings.HasPrefix(address, "vsock://") {
				return nil, true, closeListeners(listeners)
			}
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
			if err != nil {
				return nil, false, errors.Join(fmt.Errorf("listen on %s: %w", address, err), closeListeners(listeners))
			}
			listeners = append(listeners, l)
		}
	}
	limited := make([]net.Listener, len(listeners))
	for i, l := range listeners {
		limited[i] = netutil.LimitListener(l, maxConnections)
	}
	return limited, false, nil
}

func closeListeners(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (s *server) done() <-chan struct{} { return s.run.done }

func (s *server) err() error { return s.run.err }

// shutdown ends the server after the requests under way, or without them when ctx ends.
func (s *server) shutdown(ctx context.Context) {
	if err := s.http.Shutdown(ctx); err != nil {
		s.close()
	}
}

func (s *server) close() { _ = s.http.Close() }

// handler is everything that is served.
func (b *bridge) handler() http.Handler {
	var reload func(context.Context) error
	if b.web.lifecycle {
		reload = b.requestReload
	}
	mux := http.NewServeMux()
	page := web.Page(web.PageOptions{
		Version: version.Version, Snapshot: b.snapshot, Kinds: b.kinds, Durable: b.self.state.isDurable, Proxies: b.proxies, Warnings: b.warnings,
		History: b.history, Done: b.ended, Log: b.log,
	})
	for _, path := range []string{"/{$}", "/jobs", "/api/v1/events"} {
		mux.Handle(path, page)
	}
	mux.Handle("/-/healthy", web.Healthy())
	mux.Handle("/-/ready", web.Ready(b.ready))
	mux.Handle("/-/reload", withoutDeadline(web.Reload(reload)))
	mux.Handle("/metrics", b.when(func(r *routes, _ *http.Request) http.Handler { return r.metrics }))
	mux.Handle("/probe", b.when(probeOf))
	mux.Handle("/api/v1/jobs", b.when(func(r *routes, _ *http.Request) http.Handler { return r.jobs }))
	pages := web.Secure(mux)
	passThrough := withoutDeadline(b.when(proxyOfPath))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A mux would redirect paths that it finds unclean, which is not its business here.
		if strings.HasPrefix(r.URL.Path, proxyPrefix) {
			passThrough.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// when answers with what the routes in force choose, or that the state is being loaded.
func (b *bridge) when(choose func(*routes, *http.Request) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := b.routes.Load()
		if now == nil {
			http.Error(w, "the state is being loaded, try again later", http.StatusServiceUnavailable)
			return
		}
		choose(now, r).ServeHTTP(w, r)
	})
}

// withoutDeadline lets requests take as long as they need.
func withoutDeadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Time{})
		_ = c.SetWriteDeadline(time.Time{})
		next.ServeHTTP(w, r)
	})
}

func probeOf(r *routes, req *http.Request) http.Handler {
	name := req.URL.Query().Get("source")
	if name == "" {
		return refuse(http.StatusBadRequest, "name a source: /probe?source=NAME")
	}
	if s := r.sources[name]; s != nil {
		return s.probe
	}
	return refuse(http.StatusNotFound, "no source of that name is configured")
}

const proxyPrefix = "/proxy/"

// proxyOfPath finds the pass-through of /proxy/<source>/...
func proxyOfPath(r *routes, req *http.Request) http.Handler {
	name, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, proxyPrefix), "/")
	s := r.sources[name]
	if s == nil || s.proxy == nil {
		return refuse(http.StatusNotFound, "no source of that name is configured with proxy: {enabled: true}")
	}
	return http.StripPrefix(proxyPrefix+name, s.proxy)
}

func refuse(status int, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, status) })
}

// kinds are the configured sources, for the page.
func (b *bridge) kinds() map[string]string {
	kinds := map[string]string{}
	if now := b.routes.Load(); now != nil {
		for name, r := range now.sources {
			kinds[name] = r.Kind
		}
	}
	return kinds
}

// proxies are the sources with a pass-through, for the page.
func (b *bridge) proxies() (names []string) {
	if now := b.routes.Load(); now != nil {
		for name, r := range now.sources {
			if r.proxy != nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}
