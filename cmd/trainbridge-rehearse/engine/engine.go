// Package engine plays Prometheus in virtual time. Inside the bubble of a testing/synctest it runs Prometheus' own parts: the scrape manager
// with its staleness markers, the storage, PromQL and the manager of rules. One target is scraped over connections of the caller, so
// that no network holds the virtual clock up; hours pass in seconds. What comes out is a [Timeline]: which alerts were pending, fired
// and resolved, and when.
//
// What Prometheus spreads by the name of the machine and by the paths of the rule files, so as not to do all at once, the engine spreads by
// names that are the same everywhere: two rehearsals of the same thing have the same timeline.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
)

// Defaults of [Options].
const (
	DefaultJob         = "trainbridge"
	DefaultInterval    = 30 * time.Second
	DefaultExternalURL = "http://prometheus.example:9090"
)

// Options say what a rehearsal's Prometheus does.
type Options struct {
	// Dial connects to the target. Within a bubble its connections must block durably, as those of net.Pipe do and sockets do not.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Target is the host:port that is scraped at /metrics, and the label instance.
	Target string
	// Job is the name of the scrape job; DefaultJob if empty.
	Job string
	// Rules are patterns of filepath.Glob for rule files. Each must match a file.
	Rules []string
	// ScrapeInterval and EvaluationInterval are DefaultInterval if zero. A group of rules that has an interval of its own keeps it.
	ScrapeInterval, EvaluationInterval time.Duration
	// ExternalLabels are added to what is sent to Alertmanager, and known to the templates of alerts.
	ExternalLabels map[string]string
	// ExternalURL is where links of alerts lead; DefaultExternalURL if empty.
	ExternalURL string
	// Log gets what Prometheus says. It may be nil: what goes wrong is in the timeline in any case.
	Log *slog.Logger
}

// An Engine is a Prometheus at work. Its methods may be called from several goroutines of the bubble.
type Engine struct {
	opts    Options
	start   time.Time
	folder  string
	journal *journal
	records *records

	store  *tsdb.DB
	promql *promql.Engine
	rules  *rules.Manager
	scrape *scrape.Manager
	cancel context.CancelFunc
	ended  chan error // one value of each of the two managers when it has ended
}

// Start begins to scrape and to evaluate. It must be called, as Stop, inside the bubble, and Stop must be called before the bubble ends. The
// end of ctx ends queries and scrapes, but not the engine.
func Start(ctx context.Context, opts Options) (*Engine, error) {
	opts, files, err := opts.complete()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "trainbridge-rehearse-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the storage: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &Engine{
		opts: opts, start: time.Now(), folder: folder, cancel: cancel,
		journal: newJournal(opts.Log), records: newRecords(), ended: make(chan error, 2),
	}
	if err := e.open(ctx, files); err != nil {
		return nil, errors.Join(err, e.halt(), e.close())
	}
	return e, nil
}

// complete fills in the defaults, and finds the rule files.
func (o Options) complete() (Options, []string, error) {
	if o.Dial == nil || o.Target == "" {
		return o, nil, errors.New("start the engine: Dial and Target must be set")
	}
	if o.Job == "" {
		o.Job = DefaultJob
	}
	if o.ExternalURL == "" {
		o.ExternalURL = DefaultExternalURL
	}
	if o.ScrapeInterval == 0 {
		o.ScrapeInterval = DefaultInterval
	}
	if o.EvaluationInterval == 0 {
		o.EvaluationInterval = DefaultInterval
	}
	if o.ScrapeInterval < time.Second || o.EvaluationInterval < time.Second {
		return o, nil, fmt.Errorf("start the engine: the intervals %v and %v must be a second or longer", o.ScrapeInterval, o.EvaluationInterval)
	}
	files, err := ruleFiles(o.Rules)
	return o, files, err
}

// open makes the parts and sets them going. What it made before an error is for close to end.
func (e *Engine) open(ctx context.Context, files []string) error {
	var err error
	if e.store, err = openStore(e.folder, e.journal.logger("storage")); err != nil {
		return err
	}
	grammar := parser.NewParser(parser.Options{})
	e.promql = promql.NewEngine(promql.EngineOpts{
		Logger: e.journal.logger("query"), MaxSamples: 50_000_000, Timeout: 2 * time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return e.opts.EvaluationInterval.Milliseconds() }, Parser: grammar,
	})
	if err := e.startRules(ctx, grammar, files); err != nil {
		return err
	}
	return e.startScrapes()
}

// externalURL is the parsed option.
func (e *Engine) externalURL() (*url.URL, error) {
	u, err := url.Parse(e.opts.ExternalURL)
	if err != nil {
		return nil, fmt.Errorf("read the external URL: %w", err)
	}
	return u, nil
}

// Firing are the alerts that fire, as of the last evaluation of their group, in the order of a timeline.
func (e *Engine) Firing() []Alert { return e.records.firing() }

// Stop ends the engine and returns what it saw. The error says what went wrong with the engine itself and its rules: an expression that
// cannot be evaluated, a template that cannot be expanded, samples that were not taken, or that there was no scrape at all. Scrapes that
// failed may be part of the play: they are counted in the timeline. The timeline is complete also if there is an error.
func (e *Engine) Stop() (Timeline, error) {
	err := e.halt()
	t := Timeline{Start: e.start, End: time.Now(), ExternalLabels: e.opts.ExternalLabels}
	err = errors.Join(err, e.countScrapes(&t))
	for _, rule := range e.rules.AlertingRules() {
		t.Known = append(t.Known, rule.Name())
	}
	slices.Sort(t.Known)
	t.Known = slices.Compact(t.Known)
	t.Alerts = e.records.all()
	t.ScrapeErrors, t.Trouble = e.journal.scrapes(), e.journal.trouble()
	if dropped := e.records.lost(); dropped > 0 {
		t.Trouble = append(t.Trouble, Incident{Text: "alerts beyond the limit of a timeline are missing in it", Times: dropped})
	}
	return t, errors.Join(err, t.troubled(), e.close())
}

// countScrapes asks the storage how often the target was scraped and how often that failed.
func (e *Engine) countScrapes(t *Timeline) error {
	took := t.End.Sub(t.Start).Round(time.Second) + time.Second
	selector := fmt.Sprintf("up{job=%q}[%ds]", e.opts.Job, int(took.Seconds()))
	for expr, into := range map[string]*int{"count_over_time(" + selector + ")": &t.Scrapes, "sum_over_time(" + selector + ")": &t.FailedScrapes} {
		vector, err := rules.EngineQueryFunc(e.promql, e.store)(context.Background(), expr, t.End)
		if err != nil {
			return fmt.Errorf("count the scrapes: %w", err)
		}
		for _, sample := range vector {
			*into += int(sample.F)
		}
	}
	t.FailedScrapes = t.Scrapes - t.FailedScrapes
	if t.Scrapes == 0 && took > e.opts.ScrapeInterval+time.Second {
		return fmt.Errorf("the target %s was never scraped", e.opts.Target)
	}
	return nil
}

// halt ends scrapes and evaluations, as far as they have begun.
func (e *Engine) halt() error {
	var errs []error
	if e.rules != nil {
		e.rules.Stop()
		errs = append(errs, <-e.ended)
	}
	if e.scrape != nil {
		e.scrape.Stop()
		errs = append(errs, <-e.ended)
	}
	e.cancel()
	return errors.Join(errs...)
}

// close frees what the engine holds. Nothing may scrape or evaluate any more.
func (e *Engine) close() error {
	var errs []error
	if e.store != nil {
		if err := e.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the storage: %w", err))
		}
	}
	if err := os.RemoveAll(e.folder); err != nil {
		errs = append(errs, fmt.Errorf("remove the folder of the storage: %w", err))
	}
	return errors.Join(errs...)
}
