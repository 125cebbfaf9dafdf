package wandb

import (
	"context"

	"github.com/trainbridge/trainbridge/collector"
)

// census counts the distinct events that the service lists for a job that has ended.
type census struct {
	after string
	names nameless
	ids   map[string]bool
}

// count counts the whole list. A pass that read all of it is its own count. A list that is too long for one call is
// counted in several.
func (s *Source) count(ctx context.Context, r *reader, p *pass, u *collector.Update) error {
	if p.cursor == "" {
		u.Listed, u.Counted = len(p.events), true
		return nil
	}
	c := s.walks.census(r.job)
	done, err := c.run(ctx, r)
	if err != nil || !done {
		s.walks.keepCensus(r.job, c)
		u.More = true
		return err
	}
	u.Listed, u.Counted = len(c.ids), true
	return nil
}

func (c *census) run(ctx context.Context, r *reader) (done bool, err error) {
	for range maxPages {
		pg, err := r.next(ctx, c.after)
		if err != nil {
			return false, err
		}
		before := len(c.ids)
		for i := range pg.items {
			c.ids[c.names.id(&pg.items[i])] = true
		}
		next := pg.last()
		if pg.final() || next == "" || next == c.after || len(c.ids) == before {
			return true, nil
		}
		c.after = next
	}
	return false, nil
}
