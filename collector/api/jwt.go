package api

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"time"
)

// Claims are what a token says of itself. Nobody checks its signature here: it only tells when another one is needed.
type Claims struct {
	Issued, Expires time.Time // zero if it does not say
}

// ReadClaims reads the middle part of a JWT. Anything else says nothing.
func ReadClaims(token string) (c Claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > MaxTokenBytes {
		return c
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return c
	}
	limits := Limits{Bytes: MaxTokenBytes, Items: 10_000, Depth: 32, StringBytes: MaxTokenBytes}
	err = Decode(bytes.NewReader(payload), limits, func(d *Decoder) error {
		return d.Object(func(key string) error {
			if key != "exp" && key != "iat" {
				return nil
			}
			v, err := d.Value()
			if err != nil {
				return err
			}
			if key == "exp" {
				c.Expires = epoch(v)
			} else {
				c.Issued = epoch(v)
			}
			return nil
		})
	})
	if err != nil {
		return Claims{}
	}
	return c
}

// MaxTokenBytes is the longest token that is taken for one.
const MaxTokenBytes = 64 << 10

// epoch is a number of seconds since 1970 as a time, zero if it cannot be one.
func epoch(v Value) time.Time {
	f, ok, _ := v.Float()
	if !ok || v.Kind == Bool || math.IsNaN(f) || f <= 0 || f > 7e9 {
		return time.Time{}
	}
	return time.Unix(int64(f), 0)
}
