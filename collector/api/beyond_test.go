package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/prometheus/common/config"
)

// What stands before a value beyond a limit is read, however the answer is cut into parts.
func TestBeforeTheLimit(t *testing.T) {
	for name, value := range map[string]string{
		"depth": strings.Repeat("[", 10_000), "string": `"` + strings.Repeat("x", 1<<20) + `"`, "escapes": `"` + strings.Repeat(`\"`, 1<<19) + `"`,
		"items": "[" + strings.Repeat("0,", 30_000) + "0]", "bytes": `["` + strings.Repeat(`a","`, 1<<20) + `"]`,
		"bare words": `[NaN,` + strings.Repeat("[", 10_000),
	} {
		in := `{"id":"a","n":NaN,"data":` + value
		for part, r := range map[string]io.Reader{"whole": strings.NewReader(in), "byte by byte": iotest.OneByteReader(strings.NewReader(in))} {
			var keys []string
			read := func(d *Decoder) error {
				keys = nil
				return d.Object(func(key string) error {
					keys = append(keys, key)
					if key == "data" {
						return d.Skip()
					}
					_, err := d.Value()
					return err
				})
			}
			if err := Decode(r, testLimits(), read); ClassOf(err) != classTooLarge || len(keys) != 3 {
				t.Errorf("%s, %s: keys %q, %v", name, part, keys, err)
			}
		}
	}
}

// A mistake before the limit is what is told.
func TestMistakeBeforeTheLimit(t *testing.T) {
	err := Decode(strings.NewReader(`{"a":b,"c":`+strings.Repeat("[", 100)), testLimits(), func(*Decoder) error { return nil })
	if ClassOf(err) != classDecode {
		t.Errorf("got %v", err)
	}
}

// TestRaw sees an answer whole, also behind what cannot be decoded, and no more of it than is allowed.
func TestRaw(t *testing.T) {
	for body, want := range map[string]int{
		`{"a":1}`: 7,
		`{"a":` + strings.Repeat("[", 500) + `,"id":"x"}`:     515,
		`{"a":b,"id":"` + strings.Repeat("y", 5000) + `"}`:    5015,
		`{"a":b,"id":"` + strings.Repeat("y", 100_000) + `"}`: 10_000,
	} {
		answers := 0
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if answers++; answers == 1 { // the first attempt breaks off
				w.Header().Set("Content-Length", "100000")
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"other":`)
				return
			}
			jsonAnswer(body)(w, nil)
		})
		var seen bytes.Buffer
		c := mustClient(t, Config{MaxBodyBytes: 10_000}, nil)
		_ = c.JSON(t.Context(), Request{Operation: "get", URL: mustURL(t, s.URL), Raw: func(b []byte) {
			if b == nil {
				seen.Reset()
			}
			seen.Write(b)
		}}, func(*Decoder) error { return nil })
		if !strings.HasPrefix(body, seen.String()) || seen.Len() < want || seen.Len() > want+32<<10 {
			t.Errorf("%.20s: saw %d bytes, want %d", body, seen.Len(), want)
		}
	}
}

// TestSetDirectoryOfACopy completes copies of one configuration, which share pointers.
func TestSetDirectoryOfACopy(t *testing.T) {
	c := Config{HTTP: config.HTTPClientConfig{
		Authorization: &config.Authorization{CredentialsFile: "key"}, BasicAuth: &config.BasicAuth{PasswordFile: "password"},
		OAuth2:      &config.OAuth2{ClientSecretFile: "secret", TLSConfig: config.TLSConfig{CAFile: "ca"}},
		HTTPHeaders: &config.Headers{Headers: map[string]config.Header{"X-A": {Files: []string{"header"}}}},
		TLSConfig:   config.TLSConfig{CertFile: "cert"},
	}}
	for range 2 {
		own := c
		own.SetDirectory("etc")
		h := own.HTTP
		got := []string{
			h.Authorization.CredentialsFile, h.BasicAuth.PasswordFile, h.OAuth2.ClientSecretFile, h.OAuth2.TLSConfig.CAFile,
			h.HTTPHeaders.Headers["X-A"].Files[0], h.TLSConfig.CertFile,
		}
		if want := "etc/key etc/password etc/secret etc/ca etc/header etc/cert"; strings.Join(got, " ") != want {
			t.Errorf("got %q", got)
		}
	}
}
