package web

import (
	"net/http"
)

// Secure adds the headers that keep a browser from doing more with an answer than showing it, and refuses requests that
// change something and come from a web page of another origin.
func Secure(next http.Handler) http.Handler {
	protected := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		protected.ServeHTTP(w, r)
	})
}
