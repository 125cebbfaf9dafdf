package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func page(snap *collector.Snapshot, durable bool) http.Handler {
	return Secure(Page(PageOptions{
		Version: "1.2.3", Snapshot: func() *collector.Snapshot { return snap }, Durable: func() bool { return durable },
		Kinds:   func() map[string]string { return map[string]string{"rl": "wandb", "new": "wandb", "down": "wandb"} },
		Proxies: func() []string { return []string{"rl"} }, Log: slog.New(slog.DiscardHandler),
	}))
}

func TestPage(t *testing.T) {
	now := collector.TimeOf(time.Now())
	view := func(name string, h collector.HealthView) *collector.SourceView {
		v := &collector.SourceView{Name: name, Health: h}
		v.Jobs[collector.Running], v.Jobs[collector.Failed], v.Jobs[collector.Succeeded] = 5, 2, 1
		return v
	}
	snap := &collector.Snapshot{Sources: []*collector.SourceView{
		view("down", collector.HealthView{Known: true, LastPoll: now, LastError: "auth"}), view("new", collector.HealthView{}),
		view("rl", collector.HealthView{Known: true, Up: true, LastPoll: now}), view("<script>old", collector.HealthView{}),
	}}
	w := get(page(snap, false), http.MethodGet, "/")
	text := w.Body.String()
	for _, want := range []string{"1.2.3", "Source down", "auth: the service refuses", "not asked yet", "no longer configured", "5 running", "kept in memory", "/proxy/rl",
		`href="probe?source=rl"`, "&lt;script&gt;old"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s\n%s", want, text)
		}
	}
	if w.Code != 200 || strings.Contains(text, "<script>old") || strings.Contains(text, "ZgotmplZ") {
		t.Errorf("%d\n%s", w.Code, text)
	}
}

// TestThePolicyAllowsTheStyle: a browser shows the page's own style and runs nothing.
func TestThePolicyAllowsTheStyle(t *testing.T) {
	w := get(page(nil, true), http.MethodGet, "/")
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(w.Body.String())
	if style == nil {
		t.Fatal("no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the policy is %s", policy)
	}
	script := regexp.MustCompile(`(?s)<script>(.*)</script>`).FindStringSubmatch(w.Body.String())
	sum = sha256.Sum256([]byte(script[1]))
	if !strings.Contains(policy, "script-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
	if !strings.Contains(w.Body.String(), "being loaded") || strings.Contains(w.Body.String(), "<table>") {
		t.Error("a page without state shows one")
	}
	if w := get(page(nil, true), http.MethodPost, "/"); w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestLifecycle(t *testing.T) {
	ready, reloads := false, 0
	var fails error
	reload := Reload(func(context.Context) error { reloads++; return fails })
	for _, c := range []struct {
		h            http.Handler
		method       string
		status       int
		text         string
		ready        bool
		reloadFailed error
	}{
		{h: Healthy(), method: "GET", status: 200, text: "healthy"},
		{h: Ready(func() bool { return ready }), method: "GET", status: 503, text: "not ready"},
		{h: Ready(func() bool { return ready }), method: "GET", status: 200, text: "ready", ready: true},
		{h: reload, method: "GET", status: 405},
		{h: reload, method: "POST", status: 200, text: "reloaded"},
		{h: reload, method: "PUT", status: 200, text: "reloaded"},
		{h: reload, method: "POST", status: 500, text: "f.yml:3: bad", reloadFailed: errors.New("f.yml:3: bad")},
		{h: Reload(nil), method: "POST", status: 403, text: "--web.enable-lifecycle"},
	} {
		ready, fails = c.ready, c.reloadFailed
		if w := get(c.h, c.method, "/"); w.Code != c.status || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s: %d %s", c.method, w.Code, w.Body)
		}
	}
	if reloads != 3 {
		t.Errorf("%d reloads", reloads)
	}
}
