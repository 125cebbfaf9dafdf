package api

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

const maxSecretBody = 4 << 10 // of a request's body that is looked into for secrets

// redact takes out of a text whatever the request carried in its headers, its query and the secrets of its body, for services
// that quote what they refuse.
func redact(text string, r *http.Request) string {
	if r == nil || text == "" {
		return text
	}
	return collector.Redact(text, append(headerSecrets(r), bodySecrets(r)...))
}

// headerSecrets are the values of a request's headers, whole and in parts, and its query.
func headerSecrets(r *http.Request) (secrets []string) {
	for name, values := range r.Header {
		switch name {
		case "Accept", "Accept-Encoding", "Content-Type", "User-Agent":
			continue
		}
		for _, v := range values {
			secrets = append(secrets, collector.SecretsOf(v)...)
		}
	}
	if r.URL != nil {
		secrets = append(secrets, r.URL.RawQuery)
	}
	return secrets
}

// bodySecrets are the values of a request's body, a form or one object in JSON, whose names say that they are secret. Requests
// for tokens have such.
func bodySecrets(r *http.Request) (secrets []string) {
	if r.GetBody == nil {
		return nil
	}
	body, err := r.GetBody()
	if err != nil {
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(body, maxSecretBody)) // of memory: it does not fail
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, _ := url.ParseQuery(string(b)) // what was readable of it
		for name, values := range form {
			if isSecretName(name) {
				secrets = append(secrets, values...)
			}
		}
		return secrets
	}
	limits := Limits{Bytes: maxSecretBody, Items: 1000, Depth: 16, StringBytes: maxSecretBody}
	_ = Decode(bytes.NewReader(b), limits, func(d *Decoder) error { // what was readable of it
		return d.Object(func(name string) error {
			v, err := d.Value()
			if s, ok := v.Text(); ok && isSecretName(name) {
				secrets = append(secrets, s)
			}
			return err
		})
	})
	return secrets
}

func isSecretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range [...]string{"secret", "password", "token", "assertion", "key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
