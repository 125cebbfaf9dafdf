package browser

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// chromium is a browser that is driven over the pipe of its DevTools protocol: messages in JSON, each ended by a zero byte.
type chromium struct {
	t   *testing.T
	in  *os.File
	mu  sync.Mutex
	id  int
	got map[int]chan reply

	tabs map[string]*tab // by session
}

type reply struct {
	ID      int             `json:"id"`
	Session string          `json:"sessionId"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	Result  json.RawMessage `json:"result"`
	Error   *protocolError  `json:"error"`
}

type protocolError struct {
	Message string `json:"message"`
}

// find is the browser to use; it skips the test if there is none.
func find(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no chromium in PATH, and CHROMIUM names none: the pages are not looked at in a browser")
	return ""
}

func launch(t *testing.T) *chromium {
	t.Helper()
	path := find(t)
	toBrowser, in := pipe(t)
	out, fromBrowser := pipe(t)
	args := []string{
		"--headless=new", "--remote-debugging-pipe", "--user-data-dir=" + t.TempDir(), "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
		"about:blank",
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium refuses to run as root with one
	}
	cmd := exec.Command(path, args...)
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	c := &chromium{t: t, in: in, got: map[int]chan reply{}, tabs: map[string]*tab{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.read(out)
	}()
	t.Cleanup(func() {
		_, _ = c.try("", "Browser.close", nil, 5*time.Second)
		in.Close()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = cmd.Wait() // it was told to end, or is killed
		}()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		<-done
		out.Close()
	})
	return c
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func (c *chromium) read(out *os.File) {
	r := bufio.NewReader(out)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m reply
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		c.mu.Lock()
		answered, tab := c.got[m.ID], c.tabs[m.Session]
		delete(c.got, m.ID)
		c.mu.Unlock()
		switch {
		case m.ID != 0 && answered != nil:
			answered <- m
		case tab != nil:
			tab.event(m.Method, m.Params)
		}
	}
}

func (c *chromium) try(session, method string, params any, within time.Duration) (json.RawMessage, error) {
	answered := make(chan reply, 1)
	c.mu.Lock()
	c.id++
	id := c.id
	c.got[id] = answered
	message := map[string]any{"id": id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if session != "" {
		message["sessionId"] = session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = c.in.Write(append(text, 0))
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case m := <-answered:
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		return m.Result, nil
	case <-time.After(within):
		return nil, fmt.Errorf("%s: no answer within %s", method, within)
	}
}

// tab is one page, and what it complained about.
type tab struct {
	c       *chromium
	session string

	mu       sync.Mutex
	trouble  []string
	loaded   chan struct{}
	requests []string
}

func (c *chromium) tab() *tab {
	c.t.Helper()
	var target struct{ TargetID string }
	c.must("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	c.must("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	p := &tab{c: c, session: session.SessionID, loaded: make(chan struct{}, 64)}
	c.mu.Lock()
	c.tabs[p.session] = p
	c.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	c.t.Cleanup(func() {
		_, _ = c.try("", "Target.closeTarget", map[string]any{"targetId": target.TargetID}, 5*time.Second)
	})
	return p
}

func (c *chromium) must(session, method string, params, result any) {
	c.t.Helper()
	raw, err := c.try(session, method, params, 30*time.Second)
	if err == nil && result != nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (p *tab) call(method string, params, result any) {
	p.c.t.Helper()
	p.c.must(p.session, method, params, result)
}

// event keeps everything that should not happen: errors, warnings, violations of the policy, dialogs.
func (p *tab) event(method string, params json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch method {
	case "Page.loadEventFired":
		p.loaded <- struct{}{}
	case "Runtime.exceptionThrown", "Page.javascriptDialogOpening", "Log.entryAdded":
		p.trouble = append(p.trouble, method+" "+string(params))
	case "Runtime.consoleAPICalled":
		var call struct{ Type string }
		if json.Unmarshal(params, &call) == nil && slices.Contains([]string{"error", "warning", "assert"}, call.Type) {
			p.trouble = append(p.trouble, method+" "+string(params))
		}
	case "Network.requestWillBeSent":
		var sent struct{ Request struct{ URL string } }
		if json.Unmarshal(params, &sent) == nil && !strings.HasPrefix(sent.Request.URL, "data:") {
			p.requests = append(p.requests, sent.Request.URL)
		}
	}
}

// calm fails the test if the page complained.
func (p *tab) calm() {
	p.c.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.trouble {
		if strings.Contains(s, "404") && strings.Contains(s, "/jobs?id=none") {
			continue // is what the test asked for
		}
		p.c.t.Errorf("the browser complains: %s", s)
	}
}

func (p *tab) open(url string) {
	p.c.t.Helper()
	for len(p.loaded) > 0 {
		<-p.loaded
	}
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	p.wait("the page to load", func() bool {
		select {
		case <-p.loaded:
			return true
		default:
			return false
		}
	})
}

func (p *tab) wait(what string, done func() bool) {
	p.c.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	p.c.t.Fatalf("waited in vain for %s", what)
}

// eval is the value of an expression in the page.
func eval[T any](p *tab, expression string) (value T) {
	p.c.t.Helper()
	var result struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &result)
	if result.ExceptionDetails != nil {
		p.c.t.Fatalf("%s: %s", expression, result.ExceptionDetails)
	}
	if len(result.Result.Value) > 0 {
		if err := json.Unmarshal(result.Result.Value, &value); err != nil {
			p.c.t.Fatalf("%s: %v", expression, err)
		}
	}
	return value
}

// until waits for an expression to be true.
func (p *tab) until(expression string) {
	p.c.t.Helper()
	p.wait(expression, func() bool {
		raw, err := p.c.try(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, 30*time.Second)
		var got struct{ Result struct{ Value any } }
		return err == nil && json.Unmarshal(raw, &got) == nil && got.Result.Value == true // an error is a page that is not there yet
	})
}

func (p *tab) size(width, height int) {
	p.c.t.Helper()
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
}

func (p *tab) scheme(name string) {
	p.c.t.Helper()
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": name}}}, nil)
}

func (p *tab) key(name string, code int) {
	p.c.t.Helper()
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		p.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code}, nil)
	}
}

// picture saves what is seen where BROWSER_SCREENSHOTS says; full takes the whole page.
func (p *tab) picture(name string, full bool) {
	p.c.t.Helper()
	dir := os.Getenv("BROWSER_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": full}, &shot)
	data, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), data, 0o644)
	}
	if err != nil {
		p.c.t.Errorf("save a picture: %v", err)
	}
}
