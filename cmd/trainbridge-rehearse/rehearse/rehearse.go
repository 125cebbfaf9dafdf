// Package rehearse plays a scenario of the demo before a Prometheus, in virtual time: simulated services, the bridge with its real
// configuration, and Prometheus' own scraping, storage and rules, all in one bubble of package testing/synctest. It tells which
// alerts fired, when, and whether they cleared themselves once the fault was over.
package rehearse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/cmd/internal/memnet"
	"github.com/trainbridge/trainbridge/cmd/internal/program"
	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine"
)

// Options say what is rehearsed.
type Options struct {
	Scenario string
	Rules    []string      // patterns of rule files
	Faulty   time.Duration // how long the fault lasts; 0: as long as the scenario says
	Scrape   time.Duration // between scrapes; 0: 30 s, or a minute in rehearsals of many hours
	Evaluate time.Duration // between evaluations of groups that do not say it; 0: a minute, or four likewise
	// Expect are the alerts that shall fire, instead of those that the scenario names. They are for rules of one's own.
	Expect []string
	// Always are alerts that fire all the time. The rehearsal does not wait for their end.
	Always []string
	Log    *slog.Logger // what the bridge and Prometheus say; nil: nobody listens
	// EachMinute is called every minute, with the alerts that fire and a way to read the bridge's pages; nil: nobody looks.
	EachMinute func(firing []engine.Alert, page func(path string) (string, error))
}

// Result is what a rehearsal showed.
type Result struct {
	engine.Timeline
	Began     time.Time // when the fault came; zero if nobody tells
	Recovered time.Time // when the fault ended
	Want      []string  // the alerts that shall fire
	Foreign   bool      // the rules know no alert of the scenario, and nobody says what to expect: nothing is judged
}

// Complaints say which alerts fired that should not have, which are missing, and which did not clear themselves. What fires all the time
// is no matter.
func (r Result) Complaints(always []string) (all []string) {
	if r.Foreign {
		return nil
	}
	complain := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	fired := map[string]bool{}
	for _, a := range r.Fired() {
		if slices.Contains(always, a.Name) {
			continue
		}
		fired[a.Name] = true
		if !slices.Contains(r.Want, a.Name) {
			complain(a.Name + " fired, which it should not have.")
		}
		if a.Resolved.IsZero() && !r.Recovered.IsZero() {
			complain(fmt.Sprintf("%s still fires %v after the fault ended.", a.Name, r.End.Sub(r.Recovered).Round(time.Minute)))
		}
	}
	for _, name := range r.Want {
		if !fired[name] {
			complain(name + " did not fire, which it should have.")
		}
	}
	return all
}

// often is how often Prometheus scrapes where nothing else is said, unless the bridge itself asks less often.
const often = 30 * time.Second

// Play rehearses a scenario. It must be called in a bubble, and leaves nothing behind in it.
func Play(ctx context.Context, o Options) (Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &memnet.Network{}
	time.Sleep(time.Until(begin())) // bubbles begin with the year 2000, and jobs may have begun before
	demo, err := program.NewRehearsal(program.RehearsalOptions{Scenario: o.Scenario, Network: n, Log: o.Log, Lasts: o.Faulty})
	if err != nil {
		return Result{}, err
	}
	o.Scrape, o.Evaluate = cmp.Or(o.Scrape, max(often, demo.Every())), cmp.Or(o.Evaluate, 4*demo.Every())
	p, err := engine.Start(ctx, engine.Options{
		Dial: n.DialContext, Target: demo.Address(), Rules: o.Rules, ScrapeInterval: o.Scrape, EvaluationInterval: o.Evaluate, Log: o.Log,
	})
	if err != nil {
		return Result{}, err
	}
	demo.Start()
	result := Result{Want: demo.Alerts()}
	if len(o.Expect) > 0 {
		result.Want = o.Expect
	}
	if begins := demo.Begins(); begins > 0 {
		result.Began = time.Now().Add(begins)
	}
	look := o.looker(ctx, n, demo.Address())
	for ends := time.Now().Add(demo.Lasts()); time.Now().Before(ends); {
		time.Sleep(min(time.Minute, time.Until(ends)))
		look(p.Firing())
	}
	if err = demo.Recover(ctx); err == nil {
		result.Recovered = time.Now()
	}
	for time.Since(result.Recovered) < demo.Clears() && err == nil && !onlyAlways(p.Firing(), o.Always) {
		time.Sleep(time.Minute)
		look(p.Firing())
	}
	var failed error
	result.Timeline, failed = p.Stop()
	known := func(name string) bool { return slices.Contains(result.Known, name) }
	result.Foreign = len(o.Expect) == 0 && len(result.Want) > 0 && !slices.ContainsFunc(result.Want, known)
	return result, errors.Join(err, failed, demo.Stop())
}

// looker calls EachMinute.
func (o Options) looker(ctx context.Context, n *memnet.Network, address string) func([]engine.Alert) {
	if o.EachMinute == nil {
		return func([]engine.Alert) {}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}, Timeout: time.Minute}
	page := func(path string) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return "", err
		}
		answer, err := client.Do(request)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(answer.Body)
		return string(text), errors.Join(err, answer.Body.Close())
	}
	return func(firing []engine.Alert) { o.EachMinute(firing, page) }
}

// begin is when rehearsals begin: a working day.
func begin() time.Time { return time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC) }

func onlyAlways(firing []engine.Alert, always []string) bool {
	return !slices.ContainsFunc(firing, func(a engine.Alert) bool { return !slices.Contains(always, a.Name) })
}
