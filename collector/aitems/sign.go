package aitems

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// The headers of a signed request.
const (
	timestampHeader = "x-ncp-apigw-timestamp"
	accessHeader    = "x-ncp-iam-access-key"
	signatureHeader = "x-ncp-apigw-signature-v2"
)

// signature is signature v2 of the gateway. target is the path and query exactly as they are sent: nothing is brought into a
// common form, so that order, escapes and a bare "?" count.
func signature(secret, method, target, timestamp, access string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(strings.ToUpper(method) + " " + target + "\n" + timestamp + "\n" + access))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// signer signs requests. It implements [api.Signer].
type signer struct {
	access, secret credential
	clock          *clock
	last           atomic.Int64 // timestamp in milliseconds
}

// Sign implements [api.Signer]. Both keys are read anew.
func (s *signer) Sign(ctx context.Context, r *http.Request) error {
	access, err := s.access.read(ctx)
	if err != nil {
		return err
	}
	secret, err := s.secret.read(ctx)
	if err != nil {
		return err
	}
	at := strconv.FormatInt(s.timestamp(), 10)
	r.Header.Set(timestampHeader, at)
	r.Header.Set(accessHeader, access)
	r.Header.Set(signatureHeader, signature(secret, r.Method, r.URL.RequestURI(), at, access))
	r.Header.Set("Content-Type", "application/json") // documented as required, of GET too
	return nil
}

// nearby is how far a timestamp may be moved so that no two are the same, in milliseconds.
const nearby = 1000

// timestamp is now, in milliseconds, and not the same twice: each attempt has a signature of its own.
func (s *signer) timestamp() int64 {
	for {
		last, now := s.last.Load(), s.clock.now().UnixMilli()
		if now <= last && last-now < nearby {
			now = last + 1
		}
		if s.last.CompareAndSwap(last, now) {
			return now
		}
	}
}

// Refused implements [api.Signer]. There is nothing to forget: keys are read for every attempt, and the clock of the answer
// was taken from it already.
func (s *signer) Refused(*http.Request) {}

// Fingerprint implements [api.Signer].
func (s *signer) Fingerprint() string {
	h := sha256.New()
	for _, c := range []credential{s.access, s.secret} {
		key, err := c.from.Fetch(context.Background()) // a file or memory: it does not block
		h.Write([]byte(strconv.Itoa(len(key)) + " " + key + " " + strconv.FormatBool(err != nil) + "\n"))
	}
	return string(h.Sum(nil))
}

// Setting implements [api.Signer].
func (s *signer) Setting() string { return "check " + s.access.place() + " and " + s.secret.place() }
