package runai

import (
	"time"

	"github.com/trainbridge/trainbridge/collector/api"
)

// lifetime is how long a token can be used from now, the moment before it was asked for. What it says of itself counts before what
// the answer says; a clock that is not ours cannot make it last longer than it was made for.
func lifetime(token string, said, fallback time.Duration, now time.Time) time.Duration {
	c := api.ReadClaims(token)
	made := c.Expires.Sub(c.Issued) // how long it was made for
	whole := !c.Expires.IsZero() && !c.Issued.IsZero() && made > 0
	left := c.Expires.Sub(now)
	switch {
	case whole && left > made: // the service's clock is ahead of ours
		return made
	case !c.Expires.IsZero() && left > minLifetime:
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
