package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"
	"github.com/trainbridge/trainbridge/collector/collectortest"
)

// notary signs with a number that counts up, so that no two signatures are the same.
type notary struct {
	mu      sync.Mutex
	signed  int
	refused []string // signatures
	secret  string
	fail    error
	before  func(context.Context) error
}

func (n *notary) Sign(ctx context.Context, r *http.Request) error {
	if n.before != nil {
		if err := n.before(ctx); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.signed++
	if n.fail != nil {
		return n.fail
	}
	r.Header.Set("X-Signature", fmt.Sprintf("%s-%d", n.secret, n.signed))
	r.Header.Set("X-Signed-Target", r.Method+" "+r.URL.RequestURI())
	return nil
}

func (n *notary) Refused(r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = append(n.refused, r.Header.Get("X-Signature"))
}

func (n *notary) Fingerprint() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.secret
}

func (*notary) Setting() string { return "check notary_file" }

func (n *notary) set(secret string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.secret = secret
}

// onNetwork is a client of h over real HTTP in a network in memory.
func onNetwork(t *testing.T, c Config, o Observer, h http.HandlerFunc) (*Client, *url.URL) {
	t.Helper()
	network := collectortest.Serve(t, h)
	c.Dial = network.Dial
	return mustClient(t, c, o), mustURL(t, network.Base()+"/v1/things?token="+canary)
}

func ask(ctx context.Context, c *Client, u *url.URL) error {
	return c.JSON(ctx, Request{Operation: "get", URL: u}, func(*Decoder) error { return nil })
}

// Every attempt is signed once, and afresh, when it is about to be sent.
func TestSignedPerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notary{secret: "key"}
		var seen []string
		var sentAt, signedAt []time.Time
		n.before = func(context.Context) error { signedAt = append(signedAt, time.Now()); return nil }
		c, u := onNetwork(t, Config{Signer: n, RateLimit: 0.1, Burst: 1}, nil, func(w http.ResponseWriter, r *http.Request) {
			seen, sentAt = append(seen, r.Header.Get("X-Signature")), append(sentAt, time.Now())
			if len(seen) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			jsonAnswer(`{}`)(w, r)
		})
		if err := ask(t.Context(), c, u); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(seen, " "); got != "key-1 key-2 key-3" || n.signed != 3 {
			t.Errorf("got %s, signed %d times", got, n.signed)
		}
		for i := range sentAt {
			if sentAt[i] != signedAt[i] {
				t.Errorf("signed %v before it was sent", sentAt[i].Sub(signedAt[i]))
			}
		}
		if wait := sentAt[2].Sub(sentAt[0]).Round(time.Millisecond); wait < 20*time.Second {
			t.Errorf("three requests in %v: the limiter was not asked", wait)
		}
	})
}

// What cannot be signed is not sent, and says why.
func TestUnsigned(t *testing.T) {
	token := &Error{Operation: "token", Method: "POST", URL: "https://service.example/token", Status: 429, Class: classRateLimited, Detail: "slow", RetryAfter: time.Minute}
	for name, c := range map[string]struct {
		err         error
		class, text string
	}{
		"token":         {fmt.Errorf("get a token: %w", token), classRateLimited, "not asked, no credential: get a token: token: POST https://service.example/token: 429 Too Many Requests: slow (not before 1m0s)"},
		"not found":     {&Error{Status: 404, Class: classNotFound}, class4xx, "404 Not Found"},
		"refused":       {&Error{Status: 401, Class: classAuth}, classAuth, "check notary_file"},
		"down":          {&Error{Status: 503, Class: class5xx, retry: later}, class5xx, "503"},
		"file":          {&fs.PathError{Op: "open", Path: "/etc/key", Err: fs.ErrNotExist}, classAuth, "open /etc/key: file does not exist; check notary_file"},
		"anything else": {errors.New("the key is no key"), classAuth, "the key is no key; check notary_file"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var rec recorder
			var log strings.Builder
			sent := 0
			client := virtual(Config{Signer: &notary{fail: c.err}}, &rec, nil, func(*http.Request) *http.Response { sent++; return answer(200, `{}`) })
			client.transport.setting = "check notary_file"
			for range breakerRequests * 2 { // it says nothing about the host: the breaker stays shut
				err := get(t.Context(), client)
				var e *Error
				if !errors.As(err, &e) || e.Class != c.class || e.Status != 0 || e.Attempts != 0 || IsNotFound(err) || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("%s: got %+v: %v", name, e, err)
				}
				if errors.Is(c.err, token) != (e.RetryAfter > 0) {
					t.Errorf("%s: retry after %v", name, e.RetryAfter)
				}
				if !errors.Is(err, c.err) || strings.Count(err.Error(), "not before") != strings.Count(c.text, "not before") {
					t.Errorf("%s: got %v", name, err)
				}
				fmt.Fprint(&log, err)
			}
			if sent != 0 || len(rec.requests) != 0 || strings.Contains(log.String(), "the last requests failed") {
				t.Errorf("%s: %d requests, %v", name, sent, rec.requests)
			}
		})
	}
}

// A refusal is told to the signer and tried once more at once; then the credential rests until it changes.
func TestRefusedSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notary{secret: "old"}
		sent := 0
		began := time.Now()
		c, u := onNetwork(t, Config{Signer: n}, nil, func(w http.ResponseWriter, r *http.Request) {
			sent++
			if !strings.HasPrefix(r.Header.Get("X-Signature"), "new") {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			jsonAnswer(`{}`)(w, r)
		})
		err := ask(t.Context(), c, u)
		if !IsAuth(err) || sent != 2 || strings.Join(n.refused, " ") != "old-1 old-2" || time.Since(began) > 0 {
			t.Errorf("%d requests after %v, refused %v: %v", sent, time.Since(began), n.refused, err)
		}
		if !strings.Contains(err.Error(), "the credential is refused; check notary_file") {
			t.Errorf("got %v", err)
		}
		time.Sleep(50 * time.Second)
		if err := ask(t.Context(), c, u); !IsAuth(err) || sent != 2 || n.signed != 2 || !strings.Contains(err.Error(), "check notary_file") {
			t.Errorf("it does not rest: %d requests, signed %d times, %v", sent, n.signed, err)
		}
		n.set("new")
		if err := ask(t.Context(), c, u); err != nil || sent != 3 {
			t.Errorf("a new credential still rests: %d requests, %v", sent, err)
		}
	})
}

// A token that has ended is replaced without anyone hearing of it.
func TestRefusedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notary{secret: "key"}
		c, u := onNetwork(t, Config{Signer: n}, nil, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Signature") == "key-1" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			jsonAnswer(`{}`)(w, r)
		})
		for range 3 {
			if err := ask(t.Context(), c, u); err != nil {
				t.Error(err)
			}
		}
		if len(n.refused) != 1 || n.signed != 4 {
			t.Errorf("signed %d times, refused %v", n.signed, n.refused)
		}
	})
}

// A permission that is missing is not a credential that is wrong: nothing rests, and nothing is asked twice.
func TestPermissionIsNoRefusedCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notary{secret: "key"}
		sent := 0
		c, u := onNetwork(t, Config{Signer: n}, nil, func(w http.ResponseWriter, _ *http.Request) {
			sent++
			statusAnswer(401, "application/json", `{"error":{"errorCode":"210","message":"Permission Denied"}}`)(w, nil)
		})
		for i := range 3 {
			err := ask(t.Context(), c, u)
			if !IsAuth(err) || sent != i+1 || len(n.refused) != 0 || !strings.Contains(err.Error(), "the credential may not do this; check notary_file (code 210)") {
				t.Errorf("%d requests, %d refused, %v", sent, len(n.refused), err)
			}
		}
	})
}

// Wherever a service redirects to, a signature does not go there.
func TestSignatureStaysOnItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, status := range []int{301, 302, 303, 307, 308} {
			sent := 0
			c, u := onNetwork(t, Config{Signer: &notary{secret: "key"}}, nil, func(w http.ResponseWriter, r *http.Request) {
				sent++
				http.Redirect(w, r, "http://127.0.0.2/elsewhere", status)
			})
			if err := ask(t.Context(), c, u); err == nil || sent != 1 || !strings.Contains(err.Error(), "never followed") {
				t.Errorf("%d: %d requests, %v", status, sent, err)
			}
		}
	})
}

// What was signed is, byte for byte, what goes on the wire.
func TestSignedTargetIsSent(t *testing.T) {
	lines := make(chan string, 1)
	c := Config{Signer: &notary{secret: "key"}, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			r := bufio.NewReader(far)
			line, _ := r.ReadString('\n')
			signed := ""
			for {
				header, err := r.ReadString('\n')
				if value, ok := strings.CutPrefix(header, "X-Signed-Target: "); ok {
					signed = strings.TrimSpace(value)
				}
				if err != nil || header == "\r\n" {
					break
				}
			}
			lines <- strings.TrimSuffix(strings.TrimSpace(line), " HTTP/1.1") + "\n" + signed
			_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
		}()
		return near, nil
	}}
	client := mustClient(t, c, nil)
	for target, want := range map[string]string{
		"/api/v1/services?offset=0&limit=1000":                    "",
		"/api/v1/services?limit=1000&offset=0":                    "",
		"/api/v1/services/svc123/trains":                          "",
		"/api/v1/services/svc123/trains?":                         "/api/v1/services/svc123/trains", // a bare ? is dropped before it is signed
		"/a%2Fb/c%20d;e=f/%C3%A9/%3F":                             "",
		"/workloads?filterBy=phase%3D%3DRunning%2Cname%3D%40a+b&": "",
		"/p?a=%7E~&a=b&&c":                                        "",
		"/a//b/../c/.":                                            "",
		"/é?q=é":                                                  "/%C3%A9?q=é",
		"":                                                        "/",
		"/x#fragment":                                             "/x",
	} {
		if want == "" {
			want = target
		}
		if err := ask(t.Context(), client, mustURL(t, "http://127.0.0.1"+target)); err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		line, signed, _ := strings.Cut(<-lines, "\n")
		if line != "GET "+want || signed != line {
			t.Errorf("%s: sent %q, signed %q", target, line, signed)
		}
	}
	u := url.Values{"type": {"pop"}, "trainVersion": {"maqll 1"}}
	if err := ask(t.Context(), client, &url.URL{Scheme: "http", Host: "127.0.0.1", Path: "/a b/c%2F", RawPath: "/a%20b/c%252F", RawQuery: u.Encode()}); err != nil {
		t.Error(err)
	}
	if got, want := <-lines, "GET /a%20b/c%252F?trainVersion=maqll+1&type=pop"; got != want+"\n"+want {
		t.Errorf("got %q", got)
	}
}

// A signer that adds to a header must not add to what the source keeps.
func TestSignerSharesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := make([]string, 1, 4)
		own[0] = "a"
		header := http.Header{"X-Own": own}
		n := &adder{}
		c, u := onNetwork(t, Config{Signer: n}, nil, jsonAnswer(`{}`))
		for range 2 {
			if err := c.JSON(t.Context(), Request{URL: u, Header: header}, func(*Decoder) error { return nil }); err != nil {
				t.Error(err)
			}
		}
		if got := own[:2]; got[1] != "" || len(header["X-Own"]) != 1 || header.Get("X-More") != "" {
			t.Errorf("got %q, %v", got, header)
		}
	})
}

type adder struct{ notary }

func (*adder) Sign(_ context.Context, r *http.Request) error {
	r.Header.Add("X-Own", "b")
	r.Header.Add("X-More", "c")
	return nil
}

// cost is a context that counts what the scheduler counts.
type cost struct {
	context.Context
	n *atomic.Int64
}

func (c cost) Value(key any) any {
	if fmt.Sprintf("%T", key) == "collector.costKey" {
		return c.n
	}
	return c.Context.Value(key)
}

// Every request that was sent is spent, that for a token too; what was not sent is not.
func TestSpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var spent atomic.Int64
		ctx := cost{t.Context(), &spent}
		n := &notary{secret: "key"}
		status := 200
		c, u := onNetwork(t, Config{Signer: n}, nil, func(w http.ResponseWriter, r *http.Request) {
			statusAnswer(status, "application/json", `{}`)(w, r)
		})
		expect := func(step string, want int64) {
			t.Helper()
			spent.Store(0)
			_ = ask(ctx, c, u)
			if got := spent.Load(); got != want {
				t.Errorf("%s: spent %d, want %d", step, got, want)
			}
		}
		expect("one request", 1)
		status = 503
		expect("three attempts", 3)
		status = 200
		tokens, at := onNetwork(t, Config{}, nil, jsonAnswer(`{"access_token":"x"}`))
		n.before = func(ctx context.Context) error { return ask(ctx, tokens, at) }
		expect("with its token", 2)
		n.before, n.fail = nil, errors.New("no key")
		expect("not signed", 0)
	})
}

// The requests for tokens count against the rate of what they are for, and do not wait in its line.
func TestTokensAreInTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const perSecond, burst = 1, 5
		var b bucket
		b.set(perSecond, burst+1) // one for a token goes ahead
		count := func(w http.ResponseWriter, r *http.Request) {
			b.take(time.Now())
			jsonAnswer(`{}`)(w, r)
		}
		tokens, at := onNetwork(t, Config{}, nil, count)
		n := &notary{secret: "key"}
		var longest time.Duration
		n.before = func(ctx context.Context) error {
			if n.signed%10 != 0 {
				return nil
			}
			began := time.Now()
			err := ask(ctx, tokens, at)
			longest = max(longest, time.Since(began))
			return err
		}
		c, u := onNetwork(t, Config{Signer: n, RateLimit: perSecond, Burst: burst}, nil, count)
		began := time.Now()
		for range 200 {
			if err := ask(t.Context(), c, u); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); b.over > 0 || longest > 0 || took < (220-burst-2)*time.Second {
			t.Errorf("%d of %d requests over the rate, a token waited %v, all took %v", b.over, b.sent, longest, took)
		}
	})
}

// Dial of the configuration is what connects, for tokens too.
func TestDialIsUsed(t *testing.T) {
	var dialled []string
	fail := errors.New("no network here")
	c := Config{AllowHTTP: true, Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, network+" "+address)
		return nil, &net.OpError{Op: "dial", Net: network, Err: fail}
	}}
	err := post(t, mustClient(t, c, nil), "http://service.example:8080", nil)
	if ClassOf(err) != classConnect || !errors.Is(err, fail) || strings.Join(dialled, ";") != "tcp service.example:8080" {
		t.Errorf("dialled %v: %v", dialled, err)
	}
	dialled = nil
	c.HTTP.OAuth2 = &config.OAuth2{ClientID: "id", ClientSecret: canary, TokenURL: "http://login.example/token"}
	err = post(t, mustClient(t, c, nil), "http://service.example:8080", nil)
	if err == nil || len(dialled) == 0 || dialled[0] != "tcp login.example:80" || strings.Contains(err.Error(), canary) {
		t.Errorf("for a token dialled %v: %v", dialled, err)
	}
}

// The forbidden addresses are forbidden where nothing else was set.
func TestDialByDefault(t *testing.T) {
	err := post(t, mustClient(t, Config{AllowHTTP: true, Signer: &notary{}}, nil), "http://169.254.169.254", nil)
	if err == nil || !strings.Contains(err.Error(), "never connected to") {
		t.Errorf("got %v", err)
	}
}

// bucket holds requests to a rate and a burst, in every window.
type bucket struct {
	mu         sync.Mutex
	rate, size float64
	tokens     float64
	last       time.Time
	sent, over int
}

func (b *bucket) set(rate, size float64) { b.rate, b.size, b.tokens = rate, size, size }

func (b *bucket) take(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.tokens = min(b.size, b.tokens+b.rate*now.Sub(b.last).Seconds())
	}
	b.tokens--
	b.last = now
	b.sent++
	if b.tokens < -1e-6 {
		b.over++
	}
}
