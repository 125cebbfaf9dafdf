package wandb

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// TestKnownModels has a proxy that is told of models from jobs learned before.
func TestKnownModels(t *testing.T) {
	p, r, base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.HasSuffix(r.URL.Path, "/models") {
			io.WriteString(w, `{"id":"m-posted","name":"posted"}`)
			return
		}
		io.WriteString(w, `{"id":"job-of-`+strings.Split(string(body), `"`)[3]+`"}`)
	})
	for _, i := range []collector.Info{
		{Group: "nobody's"},
		{Model: "m-1", Group: "m-1"},
		{Model: "m-1", Group: "old name", Name: "old name"},
		{Model: "m-1", Group: "agent", Name: "agent", Project: "p", Owner: "o", BaseModel: "b", URL: "https://x.example", Kind: "sft", GPUModel: "g"},
		{Model: "m-1", Group: "m-1", Name: "x"},
		{Model: "m-1"},
		{Model: "m-2", Group: "m-2", Project: "p"},
		{Model: "m-posted", Group: "before"},
	} {
		p.Known(i)
	}
	send(t, base+"/preview/models", `{}`, nil)
	for _, m := range []string{"m-1", "m-2", "m-3", "m-posted"} {
		send(t, base+"/preview/training-jobs", `{"model_id":"`+m+`"}`, nil)
	}
	p.Wait()
	for id, want := range map[string]collector.Info{
		"job-of-m-1":      {Model: "m-1", Group: "agent", Name: "agent", Project: "p", Owner: "o", BaseModel: "b", URL: "https://x.example"},
		"job-of-m-2":      {Model: "m-2", Group: "m-2", Project: "p"},
		"job-of-m-3":      {Model: "m-3", Group: "m-3"},
		"job-of-m-posted": {Model: "m-posted", Group: "posted", Name: "posted"},
	} {
		want.Provider, want.Kind = provider, "rl"
		if got := r.jobs[id].Info; got != want {
			t.Errorf("%s: %+v", id, got)
		}
	}
}

// TestProxyRefusesAddresses has a service at an address that no service can have, although something answers there.
func TestProxyRefusesAddresses(t *testing.T) {
	asked := false
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer web.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(web.URL, "http://"), ":")
	s := newSource(t, testConfig("http://0.0.0.0:"+port+"/v1", func(c *Config) { c.HTTP.AllowHTTP = true }), nil)
	var log bytes.Buffer
	proxy := httptest.NewServer(s.Proxy((&registry{}).register, slog.New(slog.NewTextHandler(&log, nil))))
	status, _, _ := send(t, proxy.URL+"/preview/models", `{}`, nil)
	proxy.Close()
	if status != http.StatusBadGateway || asked || !strings.Contains(log.String(), "refused address 0.0.0.0") {
		t.Errorf("status %d, asked %v: %s", status, asked, &log)
	}
}
