package runaitest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tokens are the credentials and what was given out for them.
type tokens struct {
	key []byte // of signatures

	mu       sync.Mutex
	open     bool // any credentials that are not empty are accepted
	client   credential
	app      credential
	made     int // given out
	requests int
	ends     map[string]time.Time // of each token
	given    []string             // the newest, to forget old ones
}

type credential struct{ id, secret string }

// keepTokens is how many tokens the server remembers; older ones are as unknown as made-up ones.
const keepTokens = 10_000

func (t *tokens) init(o Options) {
	sum := sha256.Sum256([]byte("runaitest" + strconv.FormatInt(o.Seed, 10)))
	t.key = sum[:]
	t.client, t.app = credential{o.ClientID, o.ClientSecret}, credential{o.AppID, o.AppSecret}
	t.open = t.client == credential{} && t.app == credential{}
	t.ends = make(map[string]time.Time)
}

// SetSecret rotates the secret of the client. Tokens that were given out live on, as they do at the service.
func (s *Server) SetSecret(secret string) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	s.tokens.client.secret, s.tokens.open = secret, false
}

// SetKey replaces the client and its secret, and makes every token that was given out worthless.
func (s *Server) SetKey(clientID, clientSecret string) {
	s.tokens.mu.Lock()
	s.tokens.client, s.tokens.open = credential{clientID, clientSecret}, false
	s.tokens.mu.Unlock()
	s.ExpireTokens()
}

// ExpireTokens makes every token that was given out so far worthless.
func (s *Server) ExpireTokens() {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	for token := range s.tokens.ends {
		s.tokens.ends[token] = time.Time{}
	}
}

// TokenRequests is how many tokens were asked for, also in vain.
func (s *Server) TokenRequests() int {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return s.tokens.requests
}

// Tokens is how many tokens were given out.
func (s *Server) Tokens() int {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	return s.tokens.made
}

// note counts a request for a token.
func (t *tokens) note(c *call) {
	if c.op == OpTokenV1 || c.op == OpTokenV2 && !c.s.o.NoV2 {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.requests++
	}
}

// give makes a token if the credentials are right.
func (s *Server) give(got credential, app bool, now time.Time) (string, bool) {
	t := &s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	want := t.client
	if app {
		want = t.app
	}
	if got.id == "" || got.secret == "" || !t.open && got != want {
		return "", false
	}
	t.made++
	ends := now.Add(s.o.TokenLifetime)
	token := t.opaque()
	if !s.o.OpaqueTokens {
		token = t.jwt(got.id, now, ends)
	}
	t.ends[token] = ends
	if t.given = append(t.given, token); len(t.given) > keepTokens {
		delete(t.ends, t.given[0])
		t.given = t.given[1:]
	}
	return token, true
}

func (t *tokens) sign(text string) []byte {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func (t *tokens) opaque() string {
	return "op-" + base64.RawURLEncoding.EncodeToString(t.sign(strconv.Itoa(t.made)))
}

// jwt looks like a signed token. Its name claim makes both - and _ occur in the payload, which standard base64 does not have.
func (t *tokens) jwt(client string, now, ends time.Time) string {
	e := enc{}
	e.open()
	e.int("exp", int(ends.Unix()))
	e.int("iat", int(now.Unix()))
	e.text("jti", uuid(hashName(client), uint64(t.made)))
	e.raw("name", `"???>>>~~~"`)
	e.text("client_id", client)
	e.close()
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","typ":"JWT","kid":"made-up"}`)) + "." + encode(e.b)
	var signature []byte
	for part := 0; len(signature) < 256; part++ {
		signature = append(signature, t.sign(signed+strconv.Itoa(part))...)
	}
	return signed + "." + encode(signature)
}

// authorize looks at the token of a request.
func (s *Server) authorize(c *call) (reply, bool) {
	token := bearer(c.r)
	if token == "" {
		c.violate("missing_token")
		return c.problem(http.StatusUnauthorized, "Authorization header is missing."), false
	}
	s.tokens.mu.Lock()
	ends, known := s.tokens.ends[token]
	s.tokens.mu.Unlock()
	switch {
	case !known:
		c.violate("wrong_token")
		return c.problem(http.StatusUnauthorized, "Issuer is not familiar."), false
	case !c.now.Before(ends):
		c.expired = true
		return c.problem(http.StatusUnauthorized, "Token is expired."), false
	case c.f.Unauthorized:
		return c.problem(http.StatusUnauthorized, "Issuer is not familiar."), false
	}
	return reply{}, true
}

func bearer(r *http.Request) string {
	const scheme = "bearer "
	h := r.Header.Get("Authorization")
	if len(h) <= len(scheme) || !strings.EqualFold(h[:len(scheme)], scheme) {
		return ""
	}
	return h[len(scheme):]
}

// maxBody is the largest request body that is read.
const maxBody = 1 << 20

// tokenV1 answers POST /api/v1/token. Names of fields may be in any case, as all known clients differ in it.
func (s *Server) tokenV1(c *call) reply {
	var fields map[string]any
	if err := json.NewDecoder(io.LimitReader(c.r.Body, maxBody)).Decode(&fields); err != nil {
		return c.bad("bad_token_request", "Request body is not valid JSON.")
	}
	text := make(map[string]string, len(fields))
	for name, value := range fields {
		if word, ok := value.(string); ok {
			text[strings.ToLower(name)] = word
		}
	}
	got, app := credential{text["clientid"], text["clientsecret"]}, false
	switch text["granttype"] {
	case "client_credentials":
	case "app_token":
		got, app = credential{text["appid"], text["appsecret"]}, true
	default:
		return c.bad("bad_token_request", "Required parameter is missing: grantType")
	}
	if got.id == "" || got.secret == "" {
		return c.bad("bad_token_request", "Required parameter is missing")
	}
	token, ok := s.give(got, app, c.now)
	if !ok {
		c.refused = true
		return c.problem(c.f.refusal(), "Invalid client or Invalid client credentials")
	}
	e := &c.enc
	e.open()
	e.text("accessToken", token)
	e.text("refreshToken", "")
	e.text("idToken", "")
	if !s.o.NoExpiresIn {
		e.int("expiresIn", int(s.o.TokenLifetime/time.Second))
	}
	e.close()
	return c.ok()
}

// refusal is the status of an answer to wrong credentials.
func (f *faultState) refusal() int {
	if f.BadSecretStatus != 0 {
		return f.BadSecretStatus
	}
	return http.StatusUnauthorized
}

// tokenV2 answers POST /api/v2/token, whose errors look like those of OAuth 2.
func (s *Server) tokenV2(c *call) reply {
	if s.o.NoV2 {
		if s.o.NoV2Status != 0 && s.o.NoV2Status != http.StatusOK {
			return c.problem(s.o.NoV2Status, http.StatusText(s.o.NoV2Status))
		}
		return shell()
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, maxBody))
	form, formErr := url.ParseQuery(string(body))
	if err != nil || formErr != nil || !strings.HasPrefix(c.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		c.violate("bad_token_request")
		return c.oauth(http.StatusBadRequest, "invalid_request", "The request is not a form.")
	}
	if form.Get("grant_type") != "client_credentials" {
		c.violate("bad_token_request")
		return c.oauth(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant_type")
	}
	if form.Get("client_id") == "" || form.Get("client_secret") == "" {
		c.violate("bad_token_request")
		return c.oauth(http.StatusBadRequest, "invalid_request", "Missing form parameter")
	}
	token, ok := s.give(credential{form.Get("client_id"), form.Get("client_secret")}, false, c.now)
	if !ok {
		c.refused = true
		return c.oauth(c.f.refusal(), "invalid_client", "Invalid client or Invalid client credentials")
	}
	e := &c.enc
	e.open()
	e.text("access_token", token)
	e.text("token_type", "Bearer")
	if !s.o.NoExpiresIn {
		e.int("expires_in", int(s.o.TokenLifetime/time.Second))
	}
	e.text("scope", "openid")
	e.close()
	return c.ok()
}

func (c *call) oauth(status int, word, description string) reply {
	e := &c.enc
	e.open()
	e.text("error", word)
	e.text("error_description", description)
	e.close()
	return reply{status: status, body: e.b}
}
