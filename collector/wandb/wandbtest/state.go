package wandbtest

import (
	"encoding/json"
	"net/http"
)

// State is an http.Handler that shows Truth and Counters as one JSON object, {"truth":…,"counters":…}, for checks that
// run in another process. Serve it where the clients under test do not look.
func (s *Server) State() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(struct { // an error means that the client has left
			Truth    Truth    `json:"truth"`
			Counters Counters `json:"counters"`
		}{s.Truth(), s.Counters()})
	})
}
