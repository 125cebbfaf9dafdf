package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func token(payload string) string {
	return "eyJhbGciOiJub25lIn0." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "." + canary
}

// ending is a token that ends at a time.
func ending(at time.Time) string { return token(fmt.Sprintf(`{"sub":"x","exp":%d}`, at.Unix())) }

// certificate writes a client certificate and its key into dir. A certificate that its maker keeps for longer stands behind it.
func certificate(t *testing.T, dir string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for i, end := range []time.Time{until, until.Add(-time.Hour)} {
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: end}
		der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "cert.pem"), text.String())
	put(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheFirstEndOfACredentialCounts(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Second)
	certificate(t, dir, now.Add(72*time.Hour))
	put(t, filepath.Join(dir, "token"), " "+ending(now.Add(48*time.Hour))+"\n")
	t.Setenv("TRAINBRIDGE_TEST_KEY", ending(now.Add(24*time.Hour)))
	day := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	const tls = "tls_config: {cert_file: cert.pem, key_file: key.pem}"
	const oauth = "oauth2: {client_id: a, client_secret: b, token_url: 'https://t.example/', " + tls + "}"
	for text, want := range map[string]time.Time{
		"{}": {},
		tls:  now.Add(72 * time.Hour),
		"authorization: {credentials_file: token}":            now.Add(48 * time.Hour),
		"authorization: {type: Key, credentials_file: token}": now.Add(48 * time.Hour),
		"authorization: {credentials_file: token}\n" + tls:    now.Add(48 * time.Hour),
		"credentials_env: TRAINBRIDGE_TEST_KEY\n" + tls:       now.Add(24 * time.Hour),
		"authorization: {credentials: not.a.token}\n" + tls:   now.Add(72 * time.Hour),
		"authorization: {credentials: 'no token'}":            {},
		"authorization: {credentials: " + token(`{}`) + "}":   {},
		"authorization: {credentials_file: not-there}":        {},
		"basic_auth: {username: u, password_file: token}":     {},
		oauth:                              now.Add(72 * time.Hour),
		"credentials_expire: 2027-01-31":   day,
		"credentials_expire: '2027-01-31'": day,
		"credentials_expire: 2027-01-31T12:00:00+02:00": day.Add(10 * time.Hour),
		"credentials_expire: 2001-01-01\n" + tls:        time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
		"credentials_expire: 2199-01-01\n" + tls:        now.Add(72 * time.Hour),
	} {
		s, err := parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		s.SetDirectory(dir)
		var log bytes.Buffer
		c, err := New("test", s.Config, nil, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := c.CredentialExpiry(); !got.Equal(want) {
			t.Errorf("%s: ends %v, want %v", text, got, want)
		}
		c.Close()
		if log.Len() > 0 {
			t.Errorf("%s: the log says %s", text, &log)
		}
	}
}

func TestTheEndMovesWhenAFileIsReplaced(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().Truncate(time.Second)
	certificate(t, dir, now.Add(2*time.Hour))
	put(t, filepath.Join(dir, "token"), ending(now.Add(time.Hour)))
	s, err := parse("{authorization: {credentials_file: token}, tls_config: {cert_file: cert.pem, key_file: key.pem}}")
	if err != nil {
		t.Fatal(err)
	}
	s.SetDirectory(dir)
	c := mustClient(t, s.Config, nil)
	for i, step := range []struct {
		change func()
		want   time.Duration
	}{
		{func() {}, time.Hour},
		{func() { put(t, filepath.Join(dir, "token"), ending(now.Add(90*time.Hour))) }, 2 * time.Hour},
		{func() { certificate(t, dir, now.Add(80*time.Hour)) }, 80 * time.Hour},
		{func() { put(t, filepath.Join(dir, "cert.pem"), "half a cert") }, 90 * time.Hour},
	} {
		if step.change(); !c.CredentialExpiry().Equal(now.Add(step.want)) {
			t.Errorf("%d: ends %v, want %v", i, c.CredentialExpiry(), now.Add(step.want))
		}
	}
}

func TestExpiryOfTheOperator(t *testing.T) {
	for _, text := range []string{"31.1.2027", "2027-02-30", "2027-01-31 12:00", "soon", "1800000000", "2027-01-31T12:00:00"} {
		c := Config{CredentialsExpire: text}
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "credentials_expire: must be a date such as 2027-01-31") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// ender is a signer that knows when its credential ends.
type ender struct{ at time.Time }

func (ender) Sign(context.Context, *http.Request) error { return nil }
func (ender) Refused(*http.Request)                     {}
func (ender) Fingerprint() string                       { return "" }
func (ender) Setting() string                           { return "check it" }
func (e ender) Ends() time.Time                         { return e.at }

func TestASignerMayKnowItsEnd(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	if got := mustClient(t, Config{Signer: ender{at}}, nil).CredentialExpiry(); !got.Equal(at) {
		t.Errorf("ends %v", got)
	}
}

func TestClaimsThatCannotBe(t *testing.T) {
	for _, text := range []string{
		"", "a.b", "a.b.c", "a.b.c.d", token(`{"exp":"soon"}`), token(`{"exp":-1}`), token(`{"exp":1e300}`), token(`{"exp":true}`), token(`{"exp":1800000000`),
		token(`[1800000000]`), token(`{"exp":1800000000,"pad":"` + strings.Repeat("x", MaxTokenBytes) + `"}`),
	} {
		if got := TokenExpiry(text); !got.IsZero() {
			t.Errorf("%.40s: %v", text, got)
		}
	}
}
