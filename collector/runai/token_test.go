package runai

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/config"
	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/collectortest"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

func list(b *bench) error {
	_, err := b.source.List(context.Background())
	return err
}

func TestTokensAreRenewedInTime(t *testing.T) {
	for name, o := range map[string]runaitest.Options{
		"by the claim": {TokenLifetime: 20 * time.Minute, NoExpiresIn: true}, "by the answer": {TokenLifetime: 20 * time.Minute, OpaqueTokens: true},
		"by v1": {TokenLifetime: 20 * time.Minute, NoV2: true, NoExpiresIn: true}, "by v1, 404": {TokenLifetime: 20 * time.Minute, NoV2: true, NoV2Status: 404},
		"short": {TokenLifetime: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, o, nil)
				begin := time.Now()
				for time.Since(begin) < 2*time.Hour {
					if err := list(b); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Second)
				}
				life := o.TokenLifetime
				if most := int(2*time.Hour/(life-min(margin, life/4))) + 4; b.server.Tokens() > most || b.server.Tokens() < int(2*time.Hour/life) {
					t.Errorf("%d tokens in two hours, at most %d", b.server.Tokens(), most)
				}
				for _, r := range b.health.View().Requests {
					if r.Code == "401" {
						t.Errorf("%d requests with a token that had ended", r.N)
					}
				}
				if left := time.Until(b.health.View().CredentialExpiry.Std()); left <= -10*time.Second || left > life {
					t.Errorf("the credential ends in %v", left)
				}
				b.lawful()
			})
		})
	}
}

func TestATokenThatDoesNotSayWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{TokenLifetime: 2 * time.Minute, OpaqueTokens: true, NoExpiresIn: true}, nil)
		for range 60 {
			if err := list(b); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := b.server.TokenRequests(); n < 5 || n > 6 { // one for each life of two minutes, after a 401
			t.Errorf("%d tokens in ten minutes", n)
		}
	})
}

func TestA401RenewsTheTokenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{}, func(c *Config) { c.HTTP.MaxInFlight = 16 })
		for range 3 {
			b.server.ExpireTokens()
			had := b.server.TokenRequests()
			var calls sync.WaitGroup
			for range 16 {
				calls.Go(func() {
					if err := b.source.Probe(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
			calls.Wait()
			if n := b.server.TokenRequests() - had; n != 1 {
				t.Errorf("%d tokens were asked for", n)
			}
		}
	})
}

// TestARefusedAccountRests has a service that refuses every token, and one that gives none.
func TestARefusedAccountRests(t *testing.T) {
	for name, f := range map[string]runaitest.Faults{
		"tokens": {Unauthorized: true},
		"v2":     {Only: []runaitest.Operation{runaitest.OpTokenV2}, Fail: runaitest.Answer{Count: -1, Status: 400, Body: `{"error":"invalid_client","error_description":"nope"}`, Header: http.Header{"Content-Type": {"application/json"}}}},
		"401":    {Only: []runaitest.Operation{runaitest.OpTokenV2}, Fail: runaitest.Problem(-1, 401, "Invalid client")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, runaitest.Options{}, nil)
				b.server.SetFaults(f)
				for range 60 {
					err := list(b)
					if collector.ClassOf(err) != "auth" || !strings.Contains(err.Error(), "token.client_id and token.client_secret") {
						t.Fatalf("%v (%s)", err, collector.ClassOf(err))
					}
					if strings.Contains(err.Error(), testSecret) {
						t.Fatalf("the secret is shown: %v", err)
					}
					time.Sleep(time.Second)
				}
				if n := b.requests(""); n > 6 {
					t.Errorf("%d requests in a minute: %v", n, b.health.View().Requests)
				}
				b.server.SetFaults(runaitest.Faults{})
				time.Sleep(5 * time.Minute)
				if err := list(b); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestASecretInAFileIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		write := func(s string) {
			if err := os.WriteFile(path, []byte(s+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("wrong-secret-123456")
		b := newBench(t, runaitest.Options{TokenLifetime: 10 * time.Minute}, func(c *Config) {
			c.Token.ClientSecret, c.Token.ClientSecretFile = "", "secret"
			c.Directory = filepath.Dir(path)
		})
		if err := list(b); collector.ClassOf(err) != "auth" || !strings.Contains(err.Error(), path) {
			t.Fatal(err)
		}
		write(testSecret) // heeded at once
		if err := list(b); err != nil {
			t.Fatal(err)
		}
		b.server.SetSecret("rotated-secret-9999")
		write("rotated-secret-9999")
		time.Sleep(time.Hour)
		if err := list(b); err != nil {
			t.Error(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := list(b); err != nil { // the token lasts
			t.Error(err)
		}
		time.Sleep(time.Hour)
		if err := list(b); collector.ClassOf(err) != "auth" || !strings.Contains(err.Error(), "client_secret_file") {
			t.Error(err)
		}
	})
}

func TestATokenIsRenewedAMinuteBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{TokenLifetime: 10 * time.Minute}, nil)
		for _, c := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {8*time.Minute + 50*time.Second, 1}, {20 * time.Second, 2}} {
			time.Sleep(c.after)
			if err := list(b); err != nil || b.server.Tokens() != c.want {
				t.Errorf("%v later: %d tokens, %v", c.after, b.server.Tokens(), err)
			}
		}
	})
}

func TestATokenIsUsedToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, runaitest.Options{TokenLifetime: 10 * time.Minute}, nil)
		b.round()
		b.server.SetFaults(runaitest.Faults{Only: []runaitest.Operation{runaitest.OpTokenV2}, Fail: runaitest.ProxyError(-1, 503)})
		time.Sleep(9*time.Minute + 30*time.Second)
		if err := list(b); err != nil { // the renewal fails
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if err := list(b); collector.ClassOf(err) != "http_5xx" {
			t.Error(err)
		}
		b.server.SetFaults(runaitest.Faults{})
		time.Sleep(time.Minute)
		if err := list(b); err != nil {
			t.Error(err)
		}
	})
}

func TestAnApplicationAndAReadyToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := runaitest.New(runaitest.Options{ClientID: testID, ClientSecret: testSecret, AppID: "app", AppSecret: "app-secret-123"})
		n := collectortest.Serve(t, server)
		c := testConfig(n, func(c *Config) { c.Token = TokenConfig{AppID: "app", ClientSecret: "app-secret-123"} })
		s, err := New(c, collector.Env{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		token := s.tokens.token
		s.Close()
		ready := testConfig(n, func(c *Config) {
			c.Token = TokenConfig{}
			c.HTTP.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: config.Secret(token)}
		})
		if s, err = New(ready, collector.Env{Name: "test"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
		if server.TokenRequests() != 1 {
			t.Errorf("%d tokens were asked for", server.TokenRequests())
		}
	})
}

func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".sig"
}

func TestLifetime(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for name, c := range map[string]struct {
		token string
		said  time.Duration
		want  time.Duration
	}{
		"the claim":         {jwt(`{"exp":1700003600,"name":"???>>>~~~"}`), time.Minute, time.Hour},
		"padded":            {strings.Replace(jwt(`{"exp":1700003600}`), ".sig", "==.sig", 1), 0, time.Hour},
		"both claims":       {jwt(`{"exp":1700003600,"iat":1700000000}`), 0, time.Hour},
		"clock ahead":       {jwt(`{"exp":1700007200,"iat":1700003600}`), 0, time.Hour},
		"clock behind":      {jwt(`{"exp":1699999000,"iat":1699995400}`), 0, time.Hour},
		"behind, and said":  {jwt(`{"exp":1699999000,"iat":1699995400}`), 7 * time.Minute, 7 * time.Minute},
		"not a token":       {"opaque", 7 * time.Minute, 7 * time.Minute},
		"nothing said":      {"opaque", 0, 5 * time.Minute},
		"nonsense":          {jwt(`{"exp":"soon"}`), 0, 5 * time.Minute},
		"fraction, as text": {jwt(`{"exp":"1700003600.7"}`), 0, time.Hour},
		"negative":          {jwt(`{"exp":-5}`), 0, 5 * time.Minute},
		"far away":          {jwt(`{"exp":1e300}`), 0, 5 * time.Minute},
		"no object":         {jwt(`[1]`), 0, 5 * time.Minute},
		"four parts":        {jwt(`{"exp":1700003600}`) + ".x", 0, 5 * time.Minute},
		"a bool":            {jwt(`{"exp":true}`), 0, 5 * time.Minute},
		"standard alphabet": {"e30." + base64.StdEncoding.EncodeToString([]byte(`{"exp":1700003600,"n":"???>>>"}`)) + ".s", 0, 5 * time.Minute},
	} {
		if got := lifetime(c.token, c.said, 5*time.Minute, at); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestTokenRequests looks at what is sent, and that no message shows it.
func TestTokenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		answer := `{"access_token":"a b"}`
		n := collectortest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got = append(got, r.URL.Path+" "+r.Header.Get("Content-Type")+" "+string(body))
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, answer)
		}))
		for _, version := range []string{"v2", "v1"} {
			s, err := New(testConfig(n, func(c *Config) { c.Token.Version = version }), collector.Env{Name: "test", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := s.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "no access token") || strings.Contains(err.Error(), testSecret) {
				t.Errorf("%s: %v", version, err)
			}
		}
		want := []string{
			"/api/v2/token application/x-www-form-urlencoded client_id=bridge&client_secret=" + testSecret + "&grant_type=client_credentials",
			"/api/v1/token application/json ",
		}
		if len(got) != 2 || got[0] != want[0] || !strings.HasPrefix(got[1], want[1]) {
			t.Fatalf("got %q", got)
		}
		var body map[string]string
		if err := json.Unmarshal([]byte(strings.TrimPrefix(got[1], want[1])), &body); err != nil || body["grantType"] != "client_credentials" || body["clientID"] != testID || body["clientSecret"] != testSecret {
			t.Errorf("v1 was sent %q", got[1])
		}
	})
}
