package collector

import (
	"context"
	"sync/atomic"
)

type costKey struct{}

// withCost returns a context whose requests are counted in the result.
func withCost(ctx context.Context) (context.Context, *atomic.Int64) {
	n := new(atomic.Int64)
	return context.WithValue(ctx, costKey{}, n), n
}

// Spend counts one request of the source's budget that was made under ctx: what a poll costs is what the scheduler plans with.
func Spend(ctx context.Context) {
	if n, ok := ctx.Value(costKey{}).(*atomic.Int64); ok {
		n.Add(1)
	}
}
