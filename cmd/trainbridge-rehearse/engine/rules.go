package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
)

// What Prometheus has unless its flags say otherwise.
const (
	outageTolerance = time.Hour
	forGracePeriod  = 10 * time.Minute
	resendDelay     = time.Minute
)

// ruleFiles are the files that the patterns match, each once, sorted.
func ruleFiles(patterns []string) ([]string, error) {
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("find rule files by %s: %w", pattern, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("find rule files: %s matches none", pattern)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, errors.New("find rule files: no pattern is given")
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// startRules loads the rule files and sets the manager of rules going.
func (e *Engine) startRules(ctx context.Context, grammar parser.Parser, files []string) error {
	external, err := e.externalURL()
	if err != nil {
		return err
	}
	log := e.journal.logger("rules")
	loader := newLoader(files, grammar, log)
	if err := loader.check(); err != nil {
		return err
	}
	manager := rules.NewManager(&rules.ManagerOptions{
		NameValidationScheme: model.UTF8Validation, ExternalURL: external, Context: ctx, Logger: log, Parser: grammar, GroupLoader: loader,
		Appendable: e.store, Queryable: e.store, QueryFunc: rules.EngineQueryFunc(e.promql, e.store),
		OutageTolerance: outageTolerance, ForGracePeriod: forGracePeriod, ResendDelay: resendDelay,
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, // what is sent is read off the rules
	})
	evaluate := func(ctx context.Context, g *rules.Group, at time.Time) {
		rules.DefaultEvalIterationFunc(ctx, g, at)
		e.records.take(g, at)
	}
	err = manager.Update(e.opts.EvaluationInterval, loader.names, labels.FromMap(e.opts.ExternalLabels), e.opts.ExternalURL, evaluate)
	if err != nil {
		return fmt.Errorf("load the rules: %w", err)
	}
	e.rules = manager
	go func() {
		manager.Run()
		e.ended <- nil
	}()
	return nil
}

// A loader reads rule files for the manager, under names that do not depend on where they lie: when in the interval Prometheus evaluates
// a group follows from the name of its file.
type loader struct {
	names   []string
	files   map[string]string // by name
	grammar parser.Parser
	log     *slog.Logger
}

func newLoader(files []string, grammar parser.Parser, log *slog.Logger) loader {
	l := loader{files: make(map[string]string), grammar: grammar, log: log}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		if _, taken := l.files[name]; taken {
			name = file
		}
		l.names, l.files[name] = append(l.names, name), file
	}
	return l
}

// check reads all files once. The manager would only log what is wrong with them.
func (l loader) check() error {
	var errs []error
	for _, name := range l.names {
		_, wrong := l.Load(name, false, model.UTF8Validation)
		errs = append(errs, wrong...)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("load the rules: %w", err)
	}
	return nil
}

// Load reads a rule file.
func (l loader) Load(name string, ignoreUnknown bool, scheme model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return rulefmt.ParseFile(l.files[name], ignoreUnknown, scheme, l.grammar, l.log)
}

// Parse reads an expression.
func (l loader) Parse(query string) (parser.Expr, error) { return l.grammar.ParseExpr(query) }
