package aitems

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// List implements [collector.Source]. It asks for the services and for the trainings of each, those that were asked longest ago
// first. A service that may not be seen is left out. After any other failure the listing has what was read.
func (s *Source) List(ctx context.Context) (collector.Listing, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	p := &pass{source: s, now: time.Now()}
	for _, v := range p.services(ctx) {
		if p.stopped || ctx.Err() != nil {
			p.out.Partial = true
			break
		}
		p.service(ctx, v)
	}
	return p.end(ctx)
}

// pass is one listing under way.
type pass struct {
	source  *Source
	now     time.Time
	out     collector.Listing
	odd     []string // what was not understood and belongs to no job
	hidden  error    // the first service that may not be seen
	readAny bool
	err     error // the first other failure
	failed  int   // how many failed
	stopped bool  // nothing more is asked
}

// end completes the listing.
func (p *pass) end(ctx context.Context) (collector.Listing, error) {
	if len(p.out.Jobs) > 0 {
		p.out.Jobs[0].Unknown = append(p.out.Jobs[0].Unknown, p.source.news("", distinct(p.odd))...)
	}
	switch {
	case p.err == nil && p.hidden != nil && !p.readAny:
		p.err = p.hidden
	case p.err == nil && ctx.Err() != nil:
		p.err = fmt.Errorf("source %s: list trainings: %w", p.source.name, ctx.Err())
	case p.failed > 1:
		p.err = fmt.Errorf("%w (and %d more failures)", p.err, p.failed-1)
	}
	p.out.Partial = p.out.Partial || p.err != nil
	return p.out, p.err
}

// services are the services to ask, those that were asked longest ago first.
func (p *pass) services(ctx context.Context) []service {
	s := p.source
	l, err := readAll(s.size, func(offset int) (*page[service], error) {
		return ask(ctx, s, "services", s.pageOf(s.at("services"), offset), readServices)
	})
	p.odd = append(p.odd, l.odd...)
	switch {
	case err == nil:
	case isHidden(err) && len(s.only) > 0:
		p.warn("services", "services cannot be listed, those of the configuration are asked without their names", "err", err)
	default:
		p.failure("list services", err)
	}
	services := s.chosen(l)
	if err == nil || isHidden(err) {
		nameTwins(services)
		s.forget(services)
	}
	switch {
	case err != nil:
		delete(s.memory, "")
	case len(s.only) == 0:
		p.check("services", "", l.doubt, l.place)
	}
	slices.SortFunc(services, func(a, b service) int {
		return cmp.Or(s.asked[a.id].Compare(s.asked[b.id]), cmp.Compare(a.id, b.id))
	})
	return services
}

// chosen are the services that the operator wants. One that is not listed is asked all the same: the answer tells why.
func (s *Source) chosen(l *list[service]) []service {
	if len(s.only) == 0 {
		return slices.Clone(l.items)
	}
	out := make([]service, 0, len(s.only))
	for _, id := range s.only {
		v := service{id: id}
		if i, listed := l.place[id]; listed {
			v = l.items[i]
		}
		out = append(out, v)
	}
	return out
}

// nameTwins tells services of the same name apart, and names those without. Where the list of services could not be read, names
// stay unknown: what is known of the jobs stays.
func nameTwins(services []service) {
	count := map[string]int{}
	for _, v := range services {
		count[v.name]++
	}
	for i := range services {
		switch v := &services[i]; {
		case v.name == "":
			v.name = v.id
		case count[v.name] > 1:
			v.name += " (" + v.id + ")"
		}
	}
}

// forget drops what is known of services that are gone.
func (s *Source) forget(services []service) {
	keep := map[string]bool{"": true}
	for _, v := range services {
		keep[v.id] = true
	}
	for id := range s.asked {
		if !keep[id] {
			delete(s.asked, id)
		}
	}
	for id := range s.memory {
		if !keep[id] {
			delete(s.memory, id)
		}
	}
}

// service reads the trainings of one service into the listing.
func (p *pass) service(ctx context.Context, v service) {
	s := p.source
	s.asked[v.id] = p.now // also if it fails: the others come before it then
	l, err := readAll(s.size, func(offset int) (*page[training], error) {
		return ask(ctx, s, "trains", s.pageOf(s.at("services", v.id, "trains"), offset), readTrainings)
	})
	for i := range l.items {
		p.out.Jobs = append(p.out.Jobs, s.update(v, &l.items[i], p.now, p.warn))
	}
	p.odd = append(p.odd, l.odd...)
	if err != nil {
		p.fail(v, err)
		return
	}
	p.readAny = true
	p.check("trainings of service "+v.id, v.id, l.doubt, l.place)
	if s.updates {
		p.updates(ctx, v, l)
	}
}

// fail takes a failure to read one service.
func (p *pass) fail(v service, err error) {
	s := p.source
	p.out.Partial = true
	delete(s.memory, v.id)
	if isHidden(err) {
		if p.hidden == nil {
			p.hidden = s.explain("list trainings of service "+v.id, err)
		}
		p.warn("hidden/"+v.id, "a service may not be seen and is left out", "service", v.id, "err", s.explain("list trainings", err))
		return
	}
	p.failure("list trainings of service "+v.id, err)
}

// maxFailures is how many failures end a listing: the services that were not asked come first in the next.
const maxFailures = 2

// failure notes that reading something failed.
func (p *pass) failure(doing string, err error) {
	p.failed++
	p.stopped = p.stopped || isGeneral(err) || p.failed >= maxFailures
	if p.err == nil {
		p.err = p.source.explain(doing, err)
	}
}

// check decides whether a list that was read can be trusted to be complete.
func (p *pass) check(what, name, doubt string, place map[string]int) {
	if doubt != "" {
		p.out.Partial = true
		delete(p.source.memory, name)
		p.warn("doubt/"+name, "a list may not be complete: nothing that it lacks is taken to be gone", "list", what, "why", doubt)
		return
	}
	if !p.source.memory.confirms(name, place) {
		p.out.Partial = true
	}
}

// warn logs something once an hour.
func (p *pass) warn(reason, message string, args ...any) {
	if p.source.told.First(reason) {
		p.source.log.Warn(message, args...)
	}
}

// ahead is how far a date may lie in the future: clocks differ.
const ahead = 10 * time.Minute

// update is what a line of a listing says about a job.
func (s *Source) update(v service, t *training, now time.Time, warn func(reason, message string, args ...any)) collector.Update {
	u := collector.Update{
		Key: collector.Key{Source: s.name, ID: v.id + "/" + t.key()}, At: collector.TimeOf(now), Origin: collector.Listed,
		Observed: true, Unknown: t.odd,
		Info: collector.Info{Provider: provider, Name: title(v, t), Project: v.name, Group: v.name, Kind: t.kind},
	}
	if !types[t.kind] {
		u.Unknown = append(u.Unknown, "type")
	}
	if t.status != "" {
		state, known := states[t.status]
		u.HasPhase, u.Phase, u.Status, u.Message = true, state.phase, t.status, state.message
		if !known {
			u.Unknown = append(u.Unknown, "status")
		}
	}
	if t.epochs > 0 {
		u.Readings = append(u.Readings, collector.Reading{Metric: collector.EpochLimit, Value: t.epochs})
	}
	if t.created == "" {
		u.Unknown = s.news(u.Key.ID, u.Unknown)
		return u
	}
	created, ok := parseDate(t.created, s.zone)
	switch {
	case !ok:
		u.Unknown = append(u.Unknown, "createdDate")
	case created.Sub(u.At) > ahead:
		u.Unknown = append(u.Unknown, "createdDate")
		warn("future", "a training was created in the future: is time_zone the zone of the service's dates?", "job", u.Key.ID,
			"created", created.Std(), "time_zone", s.zone.String())
	default:
		u.Created = created
	}
	u.Unknown = s.news(u.Key.ID, u.Unknown)
	return u
}

// news are the names that were not told of the job within the hour: what is odd in one listing is odd in the next.
func (s *Source) news(id string, names []string) []string {
	var out []string
	for _, n := range names {
		if s.told.First("odd/" + id + "/" + n) {
			out = append(out, n)
		}
	}
	return out
}

// title is a name for people: jobs have none.
func title(v service, t *training) string {
	if v.name == "" {
		return ""
	}
	name := v.name + " " + t.kind
	if t.description != "" {
		name += ": " + t.description
	}
	return name
}

// distinct is the list without repeats, in order of first appearance.
func distinct(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
