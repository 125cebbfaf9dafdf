package program

import (
	"context"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/trainbridge/trainbridge/collector"
)

func (p *program) traceIDCommand(c *kingpin.CmdClause) command {
	source := c.Arg("source", "The name of the source in the configuration.").Required().String()
	job := c.Arg("job", "The id of the job.").Required().String()
	attempt := c.Flag("attempt", "Which attempt; a job that starts afresh is a new one.").Default("1").Uint32()
	return func(context.Context) error {
		_, err := fmt.Fprintln(p.stdout, collector.TraceIDOf(collector.Key{Source: *source, ID: *job}, *attempt))
		return err
	}
}
