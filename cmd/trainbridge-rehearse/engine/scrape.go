package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/scrape"
)

// scrapeTimeout is Prometheus' default. It is the interval where that is shorter.
const scrapeTimeout = 10 * time.Second

// startScrapes sets the scrape manager going.
func (e *Engine) startScrapes() error {
	conf, err := e.scrapeConfig()
	if err != nil {
		return err
	}
	opts := &scrape.Options{
		HTTPClientOptions:        []httpconfig.HTTPClientOption{httpconfig.WithDialContextFunc(e.opts.Dial)},
		DiscoveryReloadOnStartup: true,
	}
	if err := nameHost(opts); err != nil {
		return err
	}
	manager, err := scrape.NewManager(opts, e.journal.logger("scrape"), nil, e.store, nil, prometheus.NewRegistry())
	if err != nil {
		return fmt.Errorf("make the scrape manager: %w", err)
	}
	if err := manager.ApplyConfig(conf); err != nil {
		return fmt.Errorf("configure the scrape manager: %w", err)
	}
	e.scrape = manager
	targets := make(chan map[string][]*targetgroup.Group, 1)
	targets <- map[string][]*targetgroup.Group{
		e.opts.Job: {{Source: "rehearsal", Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(e.opts.Target)}}}},
	}
	go func() { e.ended <- manager.Run(targets) }()
	return nil
}

// scrapeConfig is what stands in prometheus.yml. Nothing is compressed, which costs both sides more than it saves.
func (e *Engine) scrapeConfig() (*config.Config, error) {
	text, err := json.Marshal(map[string]any{ // JSON is YAML
		"global": map[string]any{
			"scrape_interval":     model.Duration(e.opts.ScrapeInterval).String(),
			"scrape_timeout":      model.Duration(min(e.opts.ScrapeInterval, scrapeTimeout)).String(),
			"evaluation_interval": model.Duration(e.opts.EvaluationInterval).String(),
			"external_labels":     e.opts.ExternalLabels,
		},
		"scrape_configs": []any{map[string]any{"job_name": e.opts.Job, "enable_compression": false}},
	})
	if err != nil {
		return nil, fmt.Errorf("write the configuration of the scrapes: %w", err)
	}
	conf, err := config.Load(string(text), e.journal.logger("configuration"))
	if err != nil {
		return nil, fmt.Errorf("configure the scrapes: %w", err)
	}
	return conf, nil
}

// nameHost gives the scrape manager a name for this machine. Left alone it asks DNS for one, which holds the virtual clock up for as long
// as the answer takes, or for ever, and derives from it when in the interval the target is scraped. Prometheus has an option for its own
// tests in a bubble; it is not exported.
func nameHost(opts *scrape.Options) error {
	field := reflect.ValueOf(opts).Elem().FieldByName("fqdn")
	if field.Kind() != reflect.String {
		return errors.New("this version of Prometheus' scrape manager has no option for the name of the host: see nameHost")
	}
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().SetString("rehearsal")
	return nil
}
