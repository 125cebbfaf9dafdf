package wandb

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// registry remembers what the proxy learns.
type registry struct {
	mu   sync.Mutex
	jobs map[string]collector.Registration
	fail error
}

func (r *registry) register(_ context.Context, reg collector.Registration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	if r.jobs == nil {
		r.jobs = map[string]collector.Registration{}
	}
	r.jobs[reg.Key.ID] = reg
	return nil
}

// mount serves a proxy as the program does.
func mount(t *testing.T, s *Source, r *registry) (*Proxy, string) {
	t.Helper()
	p := s.Proxy(r.register, slog.New(slog.DiscardHandler))
	web := httptest.NewServer(http.StripPrefix("/proxy/test", p))
	t.Cleanup(web.Close)
	return p, web.URL + "/proxy/test"
}

func TestTrainerThroughProxy(t *testing.T) {
	for _, kind := range []wandbtest.Kind{wandbtest.RL, wandbtest.SFT} {
		b := newBench(t, nil)
		b.server.SetKey("trainers-own-key")
		r := &registry{}
		p, base := mount(t, b.source, r)
		var ids []string
		var model string
		err := wandbtest.Trainer(t.Context(), base, "trainers-own-key", wandbtest.TrainerOptions{
			Entity: "acme", Project: "voice", Name: "agent-001", BaseModel: "Qwen/Qwen3-14B", Kind: kind, Jobs: 3,
			Padding: 1 << 20, Poll: time.Millisecond,
			OnModel: func(id string) { model = id },
			OnJob: func(id string) {
				ids = append(ids, id)
				b.server.Append(id, wandbtest.Started(2), step(1), step(2), wandbtest.Ended())
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		p.Wait()
		if len(r.jobs) != 3 || p.Failures() != 0 {
			t.Fatalf("%d jobs learned, %d failures", len(r.jobs), p.Failures())
		}
		for _, id := range ids {
			reg := r.jobs[id]
			want := collector.Info{
				Provider: "wandb", Name: "agent-001", Group: "agent-001", Project: "voice", Owner: "acme", BaseModel: "Qwen/Qwen3-14B",
				Kind: string(kind), URL: reg.Info.URL, Model: model,
			}
			if reg.Info != want || !reg.Fresh || reg.Key.Source != "test" {
				t.Errorf("learned %+v", reg)
			}
			if !strings.HasPrefix(reg.Info.URL, "https://wandb.ai/acme/voice/runs/") {
				t.Errorf("URL %q", reg.Info.URL)
			}
		}
		if truth := b.server.Truth().Models[model]; truth.Jobs != 3 || truth.Steps != 6 {
			t.Errorf("the service saw %+v", truth)
		}
	}
}

// TestUnknownModel has a trainer whose model was made before the bridge started.
func TestUnknownModel(t *testing.T) {
	b := newBench(t, nil)
	model := b.server.AddModel("acme", "voice", "agent-001", "base")
	r := &registry{}
	p, base := mount(t, b.source, r)
	status, _, _ := send(t, base+"/preview/training-jobs", `{"model_id":"`+model+`","trajectory_groups":[{"trajectories":[]}]}`, nil)
	p.Wait()
	if status != 200 || len(r.jobs) != 1 {
		t.Fatalf("status %d, %d jobs", status, len(r.jobs))
	}
	for _, reg := range r.jobs {
		if reg.Info.Group != model || reg.Info.Model != model || reg.Info.Kind != "rl" {
			t.Errorf("learned %+v", reg.Info)
		}
	}
}

func send(t *testing.T, url, body string, header http.Header) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + testKey}, "Content-Type": {"application/json"}}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(out)
}

// upstream is a service that a test writes, behind a proxy.
func upstream(t *testing.T, h http.HandlerFunc) (*Proxy, *registry, string) {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	s := newSource(t, testConfig(web.URL+"/api/training/v1", nil), nil)
	r := &registry{}
	p, base := mount(t, s, r)
	return p, r, base
}

func TestProxyPassesEverything(t *testing.T) {
	var got *http.Request
	var body string
	_, _, base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r.Clone(context.Background()), string(b)
		w.Header()["X-Odd"] = []string{"a", "b"}
		w.Header().Set("Location", "https://elsewhere.example/x")
		w.Header().Set("Content-Type", "application/x-thing")
		w.WriteHeader(307)
		io.WriteString(w, "moved")
	})
	status, header, answer := send(t, base+"/preview/models/a%2Fb?x=1;2&y=%zz", `{"x":1}`, http.Header{
		"Authorization": {"Bearer the-trainers-own"}, "User-Agent": {"AsyncOpenAI/Python"}, "X-Stainless-Lang": {"python"},
		"Accept-Encoding": {"br"},
	})
	if status != 307 || answer != "moved" || header.Get("Location") != "https://elsewhere.example/x" ||
		strings.Join(header["X-Odd"], ",") != "a,b" || header.Get("Content-Type") != "application/x-thing" {
		t.Errorf("answer %d %v %q", status, header, answer)
	}
	if got.RequestURI != "/api/training/v1/preview/models/a%2Fb?x=1;2&y=%zz" || body != `{"x":1}` || got.ContentLength != 7 {
		t.Errorf("request %s %q, length %d", got.RequestURI, body, got.ContentLength)
	}
	h := got.Header
	if h.Get("Authorization") != "Bearer the-trainers-own" || h.Get("User-Agent") != "AsyncOpenAI/Python" ||
		h.Get("X-Stainless-Lang") != "python" || h.Get("Accept-Encoding") != "br" {
		t.Errorf("headers %v", h)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded") || name == "Via" || name == "Forwarded" {
			t.Errorf("header %s was added", name)
		}
	}
}

func TestProxyAddsNoCredential(t *testing.T) {
	var got http.Header
	_, _, base := upstream(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() })
	send(t, base+"/preview/models", `{}`, http.Header{"Authorization": nil})
	if got.Get("Authorization") != "" {
		t.Error("a trainer without a key got the bridge's")
	}
}

func TestProxyStreams(t *testing.T) {
	next := make(chan struct{}, 3) // the service may have left before it is told of the last part
	_, _, base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "21") // a length is no reason to wait for the whole
		for i := range 3 {
			io.WriteString(w, "part "+strconv.Itoa(i)+"\n")
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, base+"/preview/training-jobs", strings.NewReader(`{}`))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 100)
	for i := range 3 {
		n, _ := resp.Body.Read(buf)
		if want := "part " + strconv.Itoa(i) + "\n"; string(buf[:n]) != want {
			t.Fatalf("read %q, want %q", buf[:n], want)
		}
		next <- struct{}{}
	}
}

// TestProxyStreamsUp has a service that answers before the trainer has sent everything.
func TestProxyStreamsUp(t *testing.T) {
	seen := make(chan string, 1)
	p, r, base := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 20)
		n, _ := io.ReadFull(r.Body, buf)
		seen <- string(buf[:n])
		_, _ = io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"id":"job-1"}`)
	})
	pr, pw := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var sender sync.WaitGroup
	sender.Go(func() {
		fmt.Fprint(pw, `{"model_id":"m-123",`)
		select {
		case got := <-seen:
			if got != `{"model_id":"m-123",` {
				t.Errorf("the service saw %q", got)
			}
		case <-ctx.Done():
			t.Error("the service saw nothing before all was sent")
		}
		fmt.Fprint(pw, `"x":"`+strings.Repeat("y", 3*maxCopy)+`"}`)
		pw.Close()
	})
	defer sender.Wait()
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, base+"/preview/training-jobs", pr)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	p.Wait()
	if reg := r.jobs["job-1"]; reg.Info.Group != "m-123" {
		t.Errorf("learned %+v", r.jobs)
	}
}

func TestProxyRefusesDots(t *testing.T) {
	asked := false
	_, _, base := upstream(t, func(http.ResponseWriter, *http.Request) { asked = true })
	for _, path := range []string{"/%2e%2e/admin", "/preview/../../admin", "/preview/%2E%2E%2Fadmin"} {
		if status, _, _ := send(t, base+path, "", nil); status != http.StatusBadRequest || asked {
			t.Errorf("%s: status %d, passed on: %v", path, status, asked)
		}
	}
}

func TestProxyServiceDown(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	_, base := mount(t, newSource(t, testConfig(web.URL, nil), nil), &registry{})
	status, header, answer := send(t, base+"/preview/models", `{}`, nil)
	if status != 502 || header.Get("Content-Type") != "application/json" || !strings.Contains(answer, `"detail"`) {
		t.Errorf("status %d, %v, %q", status, header, answer)
	}
}
