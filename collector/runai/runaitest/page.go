package runaitest

import (
	"net/http"
	"strconv"
)

// limits of a page, as documented.
const (
	defaultLimit = 50
	maxLimit     = 500
)

// page is the part of a list that is asked for.
type page struct{ offset, limit int }

// paging reads offset and limit.
func (c *call) paging() (page, reply, bool) {
	p := page{limit: defaultLimit}
	if text, given := c.param("offset"); given {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return p, c.bad("bad_offset", "offset must be a number from 0"), false
		}
		p.offset = n
	}
	if text, given := c.param("limit"); given {
		n, err := strconv.Atoi(text)
		switch {
		case err == nil && n > maxLimit:
			return p, c.bad("over_page_size", "limit must be 500 or less"), false
		case err != nil || n < 1:
			return p, c.bad("bad_limit", "limit must be a number from 1"), false
		}
		p.limit = n
	}
	if c.f.ShortPages > 0 {
		p.limit = min(p.limit, c.f.ShortPages)
	}
	return p, reply{}, true
}

// param is a parameter that may be given once; more are as one, the first.
func (c *call) param(name string) (string, bool) {
	values := c.q[name]
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// ascending reads sortOrder; otherwise is what holds without one.
func (c *call) ascending(otherwise bool) (bool, reply, bool) {
	switch text, given := c.param("sortOrder"); {
	case !given:
		return otherwise, reply{}, true
	case text == "asc":
		return true, reply{}, true
	case text == "desc":
		return false, reply{}, true
	}
	return false, c.bad("bad_sort", "sortOrder must be asc or desc"), false
}

// listing writes the elements of a page and where the next one begins.
func (c *call) listing(name string, p page, total int, element func(i int)) reply {
	e := &c.enc
	start := min(p.offset, total)
	end := min(start+p.limit, total)
	e.open()
	e.key(name)
	e.b = append(e.b, '[')
	for i := start; i < end; i++ {
		if i > start {
			e.b = append(e.b, ',')
		}
		element(i)
	}
	c.badItem(start < end)
	e.b = append(e.b, ']')
	c.items += end - start
	c.next(p, end, total)
	if c.f.ExtraFields {
		e.raw("total", `{"made":["up",null]}`)
	}
	e.close()
	return reply{status: http.StatusOK, body: e.b}
}

// badItem adds Faults.BadItem to a list.
func (c *call) badItem(after bool) {
	if c.f.BadItem == "" {
		return
	}
	if after {
		c.enc.b = append(c.enc.b, ',')
	}
	c.enc.b = append(c.enc.b, c.f.BadItem...)
}

func (c *call) next(p page, end, total int) {
	e, more := &c.enc, end < total
	switch fault := c.f.Next; {
	case fault == NextAbsent:
	case fault == NextStuck:
		e.int("next", p.offset)
	case fault == NextText && more:
		e.text("next", strconv.Itoa(end))
	case more, fault == NextAlways:
		e.int("next", end)
	case fault == NextNull:
		e.raw("next", "null")
	case fault == NextEmpty:
		e.raw("next", `""`)
	}
}
