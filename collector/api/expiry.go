package api

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"

	"github.com/prometheus/common/config"
)

// CredentialExpiry is when the first of the credentials in use ends that the bridge does not renew by itself: a client
// certificate, a token that says so, or what credentials_expire says. It is the zero time if nothing is known. Files are read
// again each time: a few small ones.
func (c *Client) CredentialExpiry() time.Time {
	ends, _ := expiry(c.config.CredentialsExpire) // it was validated
	for _, of := range c.transport.expiries {
		ends = Earlier(ends, of())
	}
	return ends
}

// Earlier is the earlier of two times, of which the zero time is not known.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expiry reads a date, which is its first moment in UTC, or a time. Nothing is the zero time.
func expiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("must be a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z")
}

// endOf makes a function that says when the content of a secret ends, by read. What cannot be read has no end.
func endOf(s config.SecretReader, read func(string) time.Time) func() time.Time {
	return func() time.Time {
		text, err := s.Fetch(context.Background()) // a file or memory: it does not block
		if err != nil {
			return time.Time{}
		}
		return read(text)
	}
}

// certificateExpiry is when the first certificate of a PEM text ends, which is the client's own.
func certificateExpiry(text string) time.Time {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}
		}
		return c.NotAfter
	}
	return time.Time{}
}

// TokenExpiry is when a token ends that says so, as a JWT does; else the zero time.
func TokenExpiry(token string) time.Time { return ReadClaims(token).Expires }
