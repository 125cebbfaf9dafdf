package program

import (
	"context"

	"github.com/trainbridge/trainbridge/collector/ledger"
	"github.com/trainbridge/trainbridge/exporters/otlp"
)

// outbox lets the exporter read the ledger's spans: neither of the two knows the other.
type outbox struct{ ledger.Engine }

// Peek implements [otlp.Outbox].
func (o outbox) Peek(ctx context.Context, maxRows, maxBytes int) ([]otlp.OutboxRow, error) {
	rows, err := o.Engine.Peek(ctx, maxRows, maxBytes)
	out := make([]otlp.OutboxRow, len(rows))
	for i, r := range rows {
		out[i] = otlp.OutboxRow(r)
	}
	return out, err
}
