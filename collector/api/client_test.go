package api

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/config"
)

func jsonAnswer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

func statusAnswer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRequestAndObserver(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{
			"Authorization": "Bearer " + canary, "Accept": "application/json", "Accept-Encoding": "gzip", "X-Team": "speech",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if ua := r.UserAgent(); !strings.HasPrefix(ua, "trainbridge/") || r.ProtoMajor != 1 {
			t.Errorf("%q, %s", ua, r.Proto)
		}
		w.Header().Set("Date", time.Now().Add(10*time.Minute).UTC().Format(http.TimeFormat))
		if r.Method == http.MethodPost {
			w.Header().Set("X-RateLimit-Limit", "500")
			w.Header().Set("X-RateLimit-Remaining", "12")
		}
		jsonAnswer(`{"ok":true}`)(w, r)
	})
	var rec recorder
	c := bearerConfig()
	c.HTTP.HTTPHeaders = &config.Headers{Headers: map[string]config.Header{"X-Team": {Values: []string{"speech"}}}}
	client := mustClient(t, c, &rec)
	if err := once(t, client, s.URL, nil); err != nil {
		t.Fatal(err)
	}
	if rec.limit != 20 || rec.left > 19.5 || rec.left < 18 || rec.count("get 200") != 1 {
		t.Errorf("budget %v of %v, requests %v", rec.left, rec.limit, rec.requests)
	}
	if d := rec.skew - 10*time.Minute; d.Abs() > 2*time.Second {
		t.Errorf("skew %v", rec.skew)
	}
	if err := post(t, client, s.URL, nil); err != nil || rec.limit != 500 || rec.left != 12 {
		t.Errorf("budget %v of %v, %v", rec.left, rec.limit, err)
	}
}

// Each failure has its class, and no text of it holds the key, the query or the body.
func TestErrorClasses(t *testing.T) {
	echo := `the key ` + canary + ` is wrong`
	for _, c := range []struct {
		name   string
		h      http.HandlerFunc
		class  string
		detail string
	}{
		{"html 200", statusAnswer(200, "text/html; charset=utf-8", "<p>"+canary), classDecode, `of type "text/html", not JSON; check base_url`},
		{"no type", statusAnswer(200, "", "{}"), classDecode, "not JSON"},
		{"html 502", statusAnswer(502, "text/html", "<p>"+canary), class5xx, "502 Bad Gateway"},
		{"html 524", statusAnswer(524, "text/html", "<p>"+canary), class5xx, ": 524"},
		{"empty 200", statusAnswer(200, "application/json", ""), classDecode, "empty"},
		{"204", statusAnswer(204, "application/json", ""), classDecode, "empty"},
		{"not json", jsonAnswer("canary " + canary), classDecode, "not valid JSON near byte"},
		{"trailing", jsonAnswer(`{}{"a":"` + canary + `"}`), classDecode, "not valid JSON"},
		{"truncated", jsonAnswer(`{"a":"` + canary), classDecode, "ends in the middle"},
		{"deep", jsonAnswer(strings.Repeat(`[`, 100)), classTooLarge, "nested"},
		{"detail text", statusAnswer(500, "application/json", `{"detail":"Failed to create model due to workflow error."}`), class5xx, "500 Internal Server Error: Failed to create model due to workflow error."},
		{"detail list", statusAnswer(422, "application/json", `{"detail":[{"loc":["query","limit"],"msg":"too big","type":"x"},{"loc":["body",0],"msg":"odd"}]}`), class4xx, "query.limit: too big; body.0: odd"},
		{"problem", statusAnswer(400, "application/problem+json", `{"error":"bad","message":"worse\u202e\n`+strings.Repeat("x", 500)+`"}`), class4xx, "worse x"},
		{"broken detail", statusAnswer(400, "application/json", `{"error":"bad","x`), class4xx, "bad"},
		{"401 echo", statusAnswer(401, "application/json", `{"detail":"`+echo+`"}`), classAuth, "the key <secret> is wrong; the credential is refused; check authorization.credentials"},
		{"403", statusAnswer(403, "text/plain", "no"), classAuth, "check authorization.credentials"},
		{"404", statusAnswer(404, "application/json", `{"detail":"Not Found"}`), classNotFound, "404 Not Found: Not Found"},
		{"429 quota", statusAnswer(429, "application/json", `{"error":{"message":"Quota Exceeded"}}`), classQuota, "Quota Exceeded"},
		{"429 rate", statusAnswer(429, "application/json", `{"message":"Rate Limited"}`), classRateLimited, "not before 1m0s"},
		{"418", statusAnswer(418, "", ""), class4xx, "418"},
		{"304", statusAnswer(304, "", ""), classOther, "redirected"},
		{"headers", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Big", strings.Repeat("x", 100<<10)) }, classTooLarge, "64 KiB"},
		{"closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, classConnect, "closed before"},
		{"not http", raw("hello\r\n" + canary), classConnect, "does not answer in HTTP"},
		{"cut body", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":\"" + canary), classConnect, "closed before"},
		{"bad gzip", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 24\r\n\r\n" + canary + "123456"), classDecode, "compression"},
		{"br", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"), classDecode, "encoded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(c.h)
			s.Config.ErrorLog = nil
			s.Start()
			defer s.Close()
			err := post(t, mustClient(t, bearerConfig(), nil), s.URL, nil)
			if c.name == "401 echo" { // a 401 is tried again only where it may be
				err = once(t, mustClient(t, bearerConfig(), nil), s.URL, nil)
			}
			var e *Error
			if !errors.As(err, &e) || e.Class != c.class || ClassOf(err) != c.class || !strings.Contains(err.Error(), c.detail) {
				t.Fatalf("got %q: %v; want %q with %q", ClassOf(err), err, c.class, c.detail)
			}
			for err := error(e); err != nil; err = errors.Unwrap(err) {
				if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, canary) {
					t.Errorf("the secret is in %s", text)
				}
			}
			if !strings.HasPrefix(err.Error(), e.Operation+": ") || len(err.Error()) > 500 {
				t.Errorf("got %s", err)
			}
		})
	}
}

// silent never answers. It reads the body first: a server does not notice before that its client has gone.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// raw answers bytes that net/http would not write.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

func TestConnectionClasses(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	tls := httptest.NewTLSServer(jsonAnswer(`{}`))
	defer tls.Close()
	tls.Config.ErrorLog = nil
	plain := serve(t, jsonAnswer(`{}`))
	for at, want := range map[string]string{
		closed.URL:                     classConnect,
		tls.URL:                        classTLS,
		"https" + plain.URL[4:]:        classTLS,
		"https://no-such-host.invalid": classDNS,
		"https://169.254.169.254":      classConnect,
	} {
		err := post(t, mustClient(t, bearerConfig(), nil), at, nil)
		if ClassOf(err) != want || strings.Contains(fmt.Sprintf("%v %#v", err, err), canary) {
			t.Errorf("%s: got %q %v, want %q", at, ClassOf(err), err, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for address, allowed := range map[string]bool{
		"127.0.0.1:80": true, "10.1.2.3:443": true, "192.168.0.1:1": true, "8.8.8.8:443": true, "[::1]:80": true, "[fd12::1]:443": true, "[2001:db8::1]:443": true,
		"169.254.169.254:80": false, "169.254.0.1:80": false, "[fe80::1%eth0]:80": false, "0.0.0.0:80": false, "[::]:80": false, "224.0.0.1:80": false,
		"[ff02::1]:80": false, "255.255.255.255:80": false, "[::ffff:169.254.169.254]:80": false, "[::ffff:0.0.0.0]:80": false, "[64:ff9b::a9fe:a9fe]:80": false,
		"[fd00:ec2::254]:80": false, "[::ffff:10.0.0.1]:80": true, "garbage": false,
	} {
		if err := checkAddress(address); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
	err := post(t, mustClient(t, Config{AllowHTTP: true}, nil), "http://[::ffff:169.254.169.254]", nil)
	if err == nil || !strings.Contains(err.Error(), "refused address 169.254.169.254") {
		t.Errorf("got %v", err)
	}
}

// Wherever a service redirects to, no request follows.
func TestRedirects(t *testing.T) {
	var followed atomic.Int32
	target := func(w http.ResponseWriter, _ *http.Request) { followed.Add(1) }
	other, secure := serve(t, target), httptest.NewTLSServer(http.HandlerFunc(target))
	defer secure.Close()
	_, port, _ := net.SplitHostPort(other.Listener.Addr().String())
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{other.URL + "/x?token=" + canary, secure.URL, "http://localhost:" + port, "http://sub.localhost:" + port, "//user:" + canary + "@127.0.0.1:" + port, "/same"} {
			var rec recorder
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/same" {
					followed.Add(1)
				}
				w.Header().Set("Location", to)
				w.WriteHeader(status)
			})
			err := once(t, mustClient(t, bearerConfig(), &rec), s.URL, nil)
			if err == nil || !strings.Contains(err.Error(), "set base_url") || strings.Contains(err.Error(), canary) || rec.count(fmt.Sprintf("get %d", status)) != 1 {
				t.Errorf("%d to %s: %v", status, to, err)
			}
		}
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
}

func TestGzipBomb(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `{"a":"`)
		spaces := make([]byte, 1<<20)
		for i := range spaces {
			spaces[i] = ' '
		}
		_, _ = io.WriteString(z, `",`)
		for range 1 << 10 {
			if _, err := z.Write(spaces); err != nil {
				return
			}
		}
	})
	before, start := allocated(), time.Now()
	err := post(t, mustClient(t, Config{}, nil), s.URL, nil)
	if ClassOf(err) != classTooLarge || !strings.Contains(err.Error(), "max_body_bytes") || time.Since(start) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	if n := allocated() - before; n > 32<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

func TestSlowAnswers(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}
	for name, h := range map[string]http.HandlerFunc{"drip": drip, "silent": silent} {
		s := serve(t, h)
		start := time.Now()
		var rec recorder
		err := post(t, mustClient(t, Config{Timeout: secs(0.2)}, &rec), s.URL, nil)
		if ClassOf(err) != classTimeout || time.Since(start) > 10*time.Second || rec.count("post 200")+rec.count("post error") != 1 {
			t.Errorf("%s: after %v: %v, %v", name, time.Since(start), err, rec.requests)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		err = mustClient(t, Config{}, nil).JSON(ctx, Request{URL: mustURL(t, s.URL)}, func(*Decoder) error { return nil })
		if !errors.Is(err, context.Canceled) || ClassOf(err) != classOther {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyFileRotates(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(key string) {
		next := file + ".next"
		if err := errors.Join(os.WriteFile(next, []byte(key+"\n"), 0o600), os.Rename(next, file)); err != nil {
			t.Fatal(err)
		}
	}
	var good atomic.Value
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+good.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		jsonAnswer(`{}`)(w, r)
	})
	c := Config{HTTP: config.HTTPClientConfig{Authorization: &config.Authorization{CredentialsFile: file}}}
	write("wrong")
	good.Store("k0")
	client := mustClient(t, c, nil)
	if err := once(t, client, s.URL, nil); !IsAuth(err) || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	for i := range 4 {
		key := fmt.Sprintf("k%d", i)
		good.Store(key)
		write(key)
		if err := once(t, client, s.URL, nil); err != nil {
			t.Errorf("rotation %d: %v", i, err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := once(t, client, s.URL, nil); !IsAuth(err) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

func TestRefusedURLs(t *testing.T) {
	client := mustClient(t, Config{}, nil)
	for in, want := range map[string]string{
		"http://service.example": "unencrypted", "ftp://service.example": "scheme", "https://u:" + canary + "@service.example": "user or password",
		"https:///x": "no host", "/x": "no host", "https://:443/": "no host",
	} {
		u := mustURL(t, in)
		err := client.JSON(t.Context(), Request{URL: u}, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", in, err)
		}
	}
	if client.JSON(t.Context(), Request{}, nil) == nil {
		t.Error("no URL: no error")
	}
	open := Config{AllowHTTP: true}
	if err := open.CheckURL(&url.URL{Scheme: "http", Host: "service.example"}); err != nil {
		t.Error(err)
	}
}

func TestDecodeErrorOfTheCaller(t *testing.T) {
	s := serve(t, jsonAnswer(`{"a":1}`))
	mine := errors.New("no a please")
	calls := 0
	err := once(t, mustClient(t, Config{}, nil), s.URL, func(d *Decoder) error {
		calls++
		return d.Object(func(string) error { return mine })
	})
	if !errors.Is(err, mine) || ClassOf(err) != classDecode || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	err = once(t, mustClient(t, Config{}, nil), s.URL, func(d *Decoder) error {
		return d.Object(func(key string) error {
			if err := d.Array(nil); err != nil {
				return fmt.Errorf("field %s: %w", key, err)
			}
			return nil
		})
	})
	if want := "v1/things: field a: expected an array, found a number"; ClassOf(err) != classDecode || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
}

func TestConnectionIsKept(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(jsonAnswer(`{"data":[]}`))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	client := mustClient(t, Config{}, nil)
	for range 10 {
		if err := once(t, client, s.URL, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for ten requests", n)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, h := range []http.HandlerFunc{jsonAnswer(`{}`), jsonAnswer(`{`), statusAnswer(502, "text/html", "x"), raw("x"),
		silent} {
		s := httptest.NewServer(h)
		client, err := New("leak", Config{Timeout: secs(0.05)}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_ = post(t, client, s.URL, nil)
		}
		client.Close()
		s.Close()
	}
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// A token service that redirects does not get the client's secret sent on.
func TestOAuth2(t *testing.T) {
	var leaked atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { leaked.Add(1) })
	mode := "good"
	tokens := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch mode {
		case "redirect":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "refuse":
			statusAnswer(401, "application/json", `{"error":"`+canary+`"}`)(w, r)
		case "hang":
			silent(w, r)
		default:
			jsonAnswer(`{"access_token":"tok","token_type":"bearer"}`)(w, r)
		}
	})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer tok" {
			t.Errorf("got %q", r.Header.Get("Authorization"))
		}
		jsonAnswer(`{}`)(w, r)
	})
	for _, c := range []struct {
		mode, class string
		timeout     float64
	}{{"good", "", 30}, {"redirect", classConnect, 30}, {"refuse", classAuth, 30}, {"hang", classTimeout, 0.3}} {
		mode = c.mode
		client := mustClient(t, Config{Timeout: secs(c.timeout), HTTP: config.HTTPClientConfig{
			OAuth2: &config.OAuth2{ClientID: "id", ClientSecret: canary, TokenURL: tokens.URL + "/token"}}}, nil)
		start := time.Now()
		err := post(t, client, s.URL, nil)
		if ClassOf(err) != c.class || time.Since(start) > 10*time.Second || err != nil && strings.Contains(fmt.Sprintf("%v %#v", err, err), canary) {
			t.Errorf("%s: after %v: %v", c.mode, time.Since(start), err)
		}
	}
	if leaked.Load() != 0 {
		t.Error("the redirect of the token service was followed")
	}
}
