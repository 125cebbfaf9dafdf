package runaitest_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

const form = "application/x-www-form-urlencoded"

func TestTokenV1TakesAnyCase(t *testing.T) {
	w := newWorld(t, runaitest.Options{ClientID: "c", ClientSecret: "s", AppID: "a", AppSecret: "x"})
	for _, body := range []string{
		`{"grantType":"client_credentials","clientID":"c","clientSecret":"s"}`,
		`{"granttype":"client_credentials","clientId":"c","clientSecret":"s"}`,
		`{"GrantType":"app_token","AppId":"a","AppSecret":"x"}`,
		`{"grantType":"app_token","appID":"a","appSecret":"x","refreshToken":null}`,
	} {
		got := w.send("POST", "/api/v1/token", body)
		var answer map[string]any
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || got.Code != 200 || answer["accessToken"] == "" || answer["expiresIn"] != 3600.0 {
			t.Errorf("%s: status %d, %v: %s", body, got.Code, err, got.Body)
		}
	}
	if n := w.TokenRequests(); n != 4 || w.Tokens() != 4 {
		t.Errorf("%d requests, %d tokens", n, w.Tokens())
	}
	w.wantClean()
}

func TestTokenV2(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	ask := func(body string) (int, map[string]any) {
		got := w.send("POST", "/api/v2/token", body, "Content-Type", form)
		var answer map[string]any
		if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, got.Body)
		}
		return got.Code, answer
	}
	code, good := ask("grant_type=client_credentials&client_id=bridge&client_secret=bridge-secret")
	if code != 200 || good["token_type"] != "Bearer" || good["expires_in"] != 3600.0 {
		t.Errorf("status %d: %v", code, good)
	}
	w.token, _ = good["access_token"].(string)
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.wantClean()
	code, refused := ask("grant_type=client_credentials&client_id=bridge&client_secret=no")
	if code != 401 || refused["error"] != "invalid_client" || refused["code"] != nil {
		t.Errorf("status %d: %v", code, refused)
	}
	w.wantClean()
	if code, bad := ask("grant_type=password"); code != 400 || bad["error"] != "unsupported_grant_type" {
		t.Errorf("status %d: %v", code, bad)
	}
	if code, bad := ask("grant_type=client_credentials"); code != 400 || bad["error"] != "invalid_request" {
		t.Errorf("status %d: %v", code, bad)
	}
	w.wantStatus(w.send("POST", "/api/v2/token", `{}`, "Content-Type", "application/json"), 400)
	if c := w.Counters(); c.Refused != 1 || c.Violations["bad_token_request"] != 3 {
		t.Errorf("counters %+v", c)
	}
}

func TestWithoutV2(t *testing.T) {
	body := "grant_type=client_credentials&client_id=bridge&client_secret=bridge-secret"
	w := newWorld(t, runaitest.Options{NoV2: true})
	got := w.send("POST", "/api/v2/token", body, "Content-Type", form)
	if got.Code != 200 || !strings.HasPrefix(got.Body.String(), "<!doctype html>") || !strings.HasPrefix(got.Header().Get("Content-Type"), "text/html") {
		t.Errorf("status %d: %.80s", got.Code, got.Body)
	}
	w.wantClean()
	w = newWorld(t, runaitest.Options{NoV2: true, NoV2Status: 404})
	w.wantStatus(w.send("POST", "/api/v2/token", body, "Content-Type", form), 404)
}

// payload decodes a part of a JWT.
func payload(t *testing.T, token string) (string, map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(parts[2]) < 300 {
		t.Fatalf("token %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return parts[1], claims
}

func TestJWT(t *testing.T) {
	w := newWorld(t, runaitest.Options{TokenLifetime: 10 * time.Minute})
	seen := make(map[string]bool)
	for range 20 {
		w.login()
		encoded, claims := payload(t, w.token)
		if claims["exp"] != float64(epoch.Add(10*time.Minute).Unix()) {
			t.Errorf("claims %v", claims)
		}
		if !strings.Contains(encoded, "-") || !strings.Contains(encoded, "_") {
			t.Errorf("payload %s has nothing that standard base64 lacks", encoded)
		}
		if _, err := base64.RawStdEncoding.DecodeString(encoded); err == nil {
			t.Error("standard base64 decodes the payload")
		}
		if seen[w.token] {
			t.Error("a token was given out twice")
		}
		seen[w.token] = true
	}
}

func TestOpaqueToken(t *testing.T) {
	w := newWorld(t, runaitest.Options{OpaqueTokens: true, NoExpiresIn: true})
	got := w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"bridge","clientSecret":"bridge-secret"}`)
	if body := got.Body.String(); strings.Contains(body, ".") || strings.Contains(body, "expiresIn") {
		t.Errorf("answer %s", body)
	}
	w.wantStatus(w.get("/api/v1/workloads"), 200)
}

func TestTokensEnd(t *testing.T) {
	w := newWorld(t, runaitest.Options{TokenLifetime: time.Minute})
	w.login()
	w.now = epoch.Add(59 * time.Second)
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.now = epoch.Add(time.Minute)
	got := w.get("/api/v1/workloads")
	if w.wantStatus(got, 401); !strings.HasPrefix(got.Body.String(), `{"code":401,"message":"`) {
		t.Errorf("body %s", got.Body)
	}
	w.login()
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.ExpireTokens()
	w.wantStatus(w.get("/api/v1/workloads"), 401)
	w.wantClean()
	if c := w.Counters(); c.Expired != 2 || c.ByStatus[401] != 2 {
		t.Errorf("counters %+v", c)
	}
}

func TestRotation(t *testing.T) {
	w := newWorld(t, runaitest.Options{})
	w.login()
	w.SetSecret("new")
	w.wantStatus(w.get("/api/v1/workloads"), 200)
	w.wantStatus(w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"bridge","clientSecret":"bridge-secret"}`), 401)
	w.wantStatus(w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"bridge","clientSecret":"new"}`), 200)
	w.SetKey("other", "key")
	w.wantStatus(w.get("/api/v1/workloads"), 401)
	w.wantStatus(w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"other","clientSecret":"key"}`), 200)
	w.SetFaults(runaitest.Faults{BadSecretStatus: 400})
	w.wantStatus(w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"other","clientSecret":"no"}`), 400)
	w.wantClean()
	if c := w.Counters(); c.Refused != 2 || c.Expired != 1 {
		t.Errorf("counters %+v", c)
	}
}

func TestAnyCredentials(t *testing.T) {
	s := runaitest.New(runaitest.Options{})
	w := &world{Server: s, t: t}
	w.wantStatus(w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"x","clientSecret":"y"}`), 200)
	w.wantStatus(w.send("POST", "/api/v1/token", `{"grantType":"client_credentials","clientID":"x","clientSecret":""}`), 400)
}
