package tensorone

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	listLimit   = 100 // asked for; the most that sibling listings allow
	listDefault = 50  // a full page of a service that does not heed limit, as sibling listings have by default
	maxPages    = 20
	maxListed   = 5000
)

// listPage is one answer to GET /training/jobs.
type listPage struct {
	jobs  []*report
	count int    // elements, those that could not be read included
	total amount // of all pages, where told
	found bool   // there was a list
}

// readList reads pages until nothing new comes. What was read before a failure is returned with it.
func (s *Source) readList(ctx context.Context) ([]*report, error) {
	var out []*report
	seen := map[string]bool{}
	for offset, pages := 0, 1; ; pages++ {
		p, err := s.readPage(ctx, offset, listLimit)
		if err != nil {
			return out, err
		}
		fresh := 0
		for _, r := range p.jobs {
			if !seen[r.id] && len(out) < maxListed {
				seen[r.id] = true
				out = append(out, r)
				fresh++
			}
		}
		offset += p.count
		if fresh == 0 || p.isLast(offset) {
			s.judgeList(p.total, offset, len(out), pages > 1 && fresh == 0)
			return out, nil
		}
		if pages == maxPages {
			s.judgeList(p.total, offset, len(out), true)
			return out, nil
		}
	}
}

// isLast reports whether nothing follows a page that ends at offset.
func (p *listPage) isLast(offset int) bool {
	if p.total.ok {
		return float64(offset) >= p.total.value
	}
	return p.count < listDefault
}

// judgeList tells of a listing that did not come to its end.
func (s *Source) judgeList(total amount, offset, jobs int, stopped bool) {
	if stopped && !(total.ok && float64(offset) >= total.value) && s.told.First("list pages") {
		s.log.Warn("the list of jobs was not read to its end: it repeats itself or is too long; name jobs that are missing in jobs or job_files",
			"read", jobs, "total", total.value)
	}
}

func (s *Source) readPage(ctx context.Context, offset, limit int) (p *listPage, err error) {
	u := s.at("training", "jobs")
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if offset > 0 {
		q.Set("offset", strconv.Itoa(offset))
	}
	u.RawQuery = q.Encode()
	err = s.client.JSON(ctx, api.Request{Operation: "list", URL: u}, func(d *api.Decoder) error {
		p = &listPage{}
		return p.read(d, &s.config.Units)
	})
	return p, err
}

// read takes {"jobs": [...], "total": n}, the sibling listings' shape, and a bare list.
func (p *listPage) read(d *api.Decoder, u *Units) error {
	if d.Kind() == api.Array {
		return p.elements(d, u)
	}
	err := d.Object(func(key string) (err error) {
		switch key {
		case "jobs", "data", "items":
			err = p.elements(d, u)
		case "total", "totalCount":
			v, failed := d.Value()
			p.total.value, p.total.ok, _ = number(v)
			err = failed
		}
		return err
	})
	if err == nil && !p.found {
		err = errors.New("the answer has no list of jobs")
	}
	return err
}

func (p *listPage) elements(d *api.Decoder, u *Units) error {
	switch d.Kind() {
	case api.Null:
		p.found = true // of nothing
		return d.Skip()
	case api.Array:
	default:
		return nil
	}
	p.found, p.jobs, p.count = true, nil, 0
	return d.Array(func(int) error {
		p.count++
		if d.Kind() != api.Object {
			return nil
		}
		r, err := readReport(d, u)
		switch {
		case errors.Is(err, errNoJob): // the others may be jobs
			err = nil
		case err == nil && checkID(r.id) == nil:
			p.jobs = append(p.jobs, r)
		}
		return err
	})
}
