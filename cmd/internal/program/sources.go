package program

import (
	"context"
	"log/slog"
	"net/http"
	"reflect"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/aitems"
	"github.com/trainbridge/trainbridge/collector/runai"
	"github.com/trainbridge/trainbridge/collector/tensorone"
	"github.com/trainbridge/trainbridge/collector/wandb"
)

// kinds is what can stand as kind of a source in the configuration. A source is added by its line.
var kinds = map[string]kind{
	"aitems":    kindOf(aitems.New),
	"runai":     kindOf(runai.New),
	"tensorone": kindOf(tensorone.New),
	"wandb":     kindOf(wandb.New, wandbProxy),
}

// register makes a job known, durably, before it returns.
type register = func(context.Context, collector.Registration) error

// proxy is a pass-through of a source for trainers.
type proxy interface {
	http.Handler
	Wait()            // returns when everything seen so far is registered
	Failures() uint64 // jobs that were seen and could not be registered
}

// proxyOf makes the pass-through of a source, or nil if it is not configured.
type proxyOf[C any, S collector.Source] func(c *C, s S, r register, log *slog.Logger) proxy

func wandbProxy(c *wandb.Config, s *wandb.Source, r register, log *slog.Logger) proxy {
	if !c.Proxy.Enabled {
		return nil
	}
	return s.Proxy(wandb.Register(r), log)
}

// kind makes sources of one kind. Configurations are pointers to its type of configuration.
type kind struct {
	config reflect.Type
	open   func(config any, env collector.Env) (collector.Source, error)
	proxy  func(config any, s collector.Source, r register, log *slog.Logger) proxy
}

// kindOf is the kind whose sources New makes. The type of configuration says what an operator can write: its yaml tags are
// the fields. It may have a method Validate() error, whose errors begin with the name of a field, and a string field
// Directory with the tag "-", which gets the folder that relative paths are relative to.
func kindOf[C any, S collector.Source](open func(C, collector.Env) (S, error), proxies ...proxyOf[C, S]) kind {
	return kind{
		config: reflect.TypeFor[C](),
		open:   func(config any, env collector.Env) (collector.Source, error) { return open(*config.(*C), env) },
		proxy: func(config any, s collector.Source, r register, log *slog.Logger) proxy {
			for _, of := range proxies {
				if p := of(config.(*C), s.(S), r, log); p != nil {
					return p
				}
			}
			return nil
		},
	}
}
