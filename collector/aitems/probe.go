package aitems

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/trainbridge/trainbridge/collector/api"
)

// Probe implements [collector.Prober]. It asks for one service, or for the trainings of the first that the configuration names. A
// clock that is off is an error even where the source works in spite of it.
func (s *Source) Probe(ctx context.Context) error {
	err := s.probe(ctx)
	if err == nil && s.clock.wrong() {
		return fmt.Errorf("source %s: %s: synchronize it (NTP)", s.name, s.clock.problem())
	}
	return err
}

func (s *Source) probe(ctx context.Context) error {
	if len(s.only) > 0 {
		_, err := ask(ctx, s, "probe", s.at("services", s.only[0], "trains"), readTrainings)
		return s.probed("list trainings of service "+s.only[0], err)
	}
	u := s.at("services")
	u.RawQuery = url.Values{"offset": {"0"}, "limit": {"1"}}.Encode()
	_, err := ask(ctx, s, "probe", u, readServices)
	return s.probed("list services", err)
}

func (s *Source) probed(doing string, err error) error {
	var e *api.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e.Class == "not_found" && len(s.only) > 0:
		return fmt.Errorf("%w; or check services: %q may be no service of this account", s.explain(doing, err), s.only[0])
	}
	return s.explain(doing, err)
}
