package runai

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector/api"
)

// claims are what a token says of itself. Nobody checks its signature here: it only tells when to ask for another one.
type claims struct {
	issued, expires time.Time // zero if it does not say
}

// readClaims reads the middle part of a JWT. Anything else says nothing.
func readClaims(token string) (c claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > maxTokenBytes {
		return c
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return c
	}
	limits := api.Limits{Bytes: maxTokenBytes, Items: 10_000, Depth: 32, StringBytes: maxTokenBytes}
	err = api.Decode(bytes.NewReader(payload), limits, func(d *api.Decoder) error {
		return d.Object(func(key string) error {
			if key != "exp" && key != "iat" {
				return nil
			}
			v, err := d.Value()
			if err != nil {
				return err
			}
			if key == "exp" {
				c.expires = epoch(v)
			} else {
				c.issued = epoch(v)
			}
			return nil
		})
	})
	if err != nil {
		return claims{}
	}
	return c
}

// maxTokenBytes is the longest token that is taken.
const maxTokenBytes = 64 << 10

// epoch is a number of seconds since 1970 as a time, zero if it cannot be one.
func epoch(v api.Value) time.Time {
	f, ok, _ := v.Float()
	if !ok || v.Kind == api.Bool || math.IsNaN(f) || f <= 0 || f > 7e9 {
		return time.Time{}
	}
	return time.Unix(int64(f), 0)
}

// lifetime is how long a token can be used from now, the moment before it was asked for. What it says of itself counts before what
// the answer says; a clock that is not ours cannot make it last longer than it was made for.
func lifetime(token string, said, fallback time.Duration, now time.Time) time.Duration {
	c := readClaims(token)
	made := c.expires.Sub(c.issued) // how long it was made for
	whole := !c.expires.IsZero() && !c.issued.IsZero() && made > 0
	left := c.expires.Sub(now)
	switch {
	case whole && left > made: // the service's clock is ahead of ours
		return made
	case !c.expires.IsZero() && left > minLifetime:
		return left
	case said > 0:
		return min(said, maxLifetime)
	case whole: // the service's clock is behind ours, or the token ends at once
		return made
	}
	return fallback
}

const (
	minLifetime = 5 * time.Second
	maxLifetime = 30 * 24 * time.Hour
)
