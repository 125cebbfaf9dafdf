package program

import (
	"context"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

func (p *program) runCommand(c *kingpin.CmdClause) command {
	file := configFlag(c)
	o := webOptions{FlagConfig: webFlags(c)}
	c.Flag("web.enable-lifecycle", "Let POST /-/reload reload the configuration.").BoolVar(&o.lifecycle)
	return func(ctx context.Context) error {
		s, err := loadConfig(*file, p.getenv)
		if err != nil {
			return err
		}
		p.log.Info("starting trainbridge", "version", version.Info(), "build", version.BuildContext())
		return newBridge(o, p.log, p.getenv, p.hangup).serve(ctx, s)
	}
}
