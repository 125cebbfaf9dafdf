package web

import (
	"context"
	"io"
	"net/http"
)

// Healthy answers 200: the process is alive and its HTTP server works.
func Healthy() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "healthy") })
}

// Ready answers 200 while ready returns true, else 503.
func Ready(ready func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ready() {
			plain(w, http.StatusOK, "ready")
			return
		}
		plain(w, http.StatusServiceUnavailable, "not ready: the state is being loaded, or the bridge is stopping")
	})
}

// Reload answers POST and PUT with the outcome of reload; nil means that reloading by HTTP is off. Errors of reload are shown to
// the caller.
func Reload(reload func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodPost && r.Method != http.MethodPut:
			w.Header().Set("Allow", "POST, PUT")
			plain(w, http.StatusMethodNotAllowed, "use POST or PUT")
		case reload == nil:
			plain(w, http.StatusForbidden, "reloading by HTTP is off; start the bridge with --web.enable-lifecycle, or send it SIGHUP")
		default:
			if err := reload(r.Context()); err != nil {
				plain(w, http.StatusInternalServerError, "the configuration was not reloaded, the old one stays in force:\n"+err.Error())
				return
			}
			plain(w, http.StatusOK, "reloaded")
		}
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}
