package wandbtest

import (
	"net/http"
	"strconv"
)

// events answers the one route that tells progress.
func (s *Server) events(c *call) reply {
	limit, bad, ok := c.limit()
	if !ok {
		return bad
	}
	if c.job == nil {
		c.seen.UnknownID++
		return status(c, http.StatusNotFound, "Training job not found")
	}
	if c.graced() {
		return status(c, http.StatusNotFound, "Training job not found")
	}
	mode := s.o.Nonfinite
	if c.f.Nonfinite != "" {
		mode = c.f.Nonfinite
	}
	j := c.job
	j.mu.Lock()
	defer j.mu.Unlock()
	s.noteLate(c)
	v := view{list: &j.list, f: c.f, mode: mode}
	start, code := v.start(c.q.after)
	if code != 0 {
		return refusedCursor(c, code)
	}
	end := min(v.len(), start+limit)
	if mode == NonfiniteError && v.special(start, end) {
		return serverError(c)
	}
	c.seen.Events += end - start
	if end == v.len() && !j.truth.ended.IsZero() && j.truth.delivered.IsZero() {
		j.truth.delivered = c.now
	}
	return reply{status: http.StatusOK, body: v.page(c.buf, start, end)}
}

func (s *Server) noteLate(c *call) {
	delivered := c.job.truth.delivered
	if s.o.LateAfter > 0 && !delivered.IsZero() && c.now.Sub(delivered) > s.o.LateAfter {
		c.seen.LateEnded++
	}
}

func refusedCursor(c *call, code int) reply {
	if code == http.StatusUnprocessableEntity {
		return invalid(c, "query", "after", "Input should be a valid cursor", "value_error")
	}
	return status(c, code, "Event not found")
}

// serverError is what the service's framework answers when an answer cannot be encoded.
func serverError(c *call) reply {
	return reply{
		status: http.StatusInternalServerError, body: append(c.buf, "Internal Server Error"...),
		header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
	}
}

// view is a list of events as the faults in force show it. With UnknownEvery k, place p of the view is event
// p/(k+1)*k + p%(k+1) of the list, and every (k+1)-th place is an event that is not in the list.
type view struct {
	list *list
	f    *faultState
	mode Nonfinite
}

func (v *view) len() int {
	n := v.list.len()
	if k := v.f.UnknownEvery; k > 0 {
		n += n / k
	}
	return n
}

// at returns the event of the list at a place, or the one before it if the event there is made up.
func (v *view) at(p int) (i int, madeUp bool) {
	k := v.f.UnknownEvery
	if k <= 0 {
		return p, false
	}
	block, off := p/(k+1), p%(k+1)
	if off == k {
		return block*k + k - 1, true
	}
	return block*k + off, false
}

// place returns where in the view the page after a cursor starts; -1 if the cursor is not listed.
func (v *view) place(after string) int {
	k := v.f.UnknownEvery
	i, extra := v.list.find(after), 0
	if i < 0 {
		i = v.findMadeUp(after)
		extra = 1
	}
	switch {
	case i < 0:
		return -1
	case k <= 0:
		return i + 1
	case extra == 1 && (i+1)%k == 0:
		return i + i/k + 2
	}
	return i + i/k + 1
}

// madeUpID is the id of the unknown event that follows an event.
func madeUpID(id string) string { return uuid(hashName(id), 1) }

func (v *view) findMadeUp(id string) int {
	for i := v.list.len() - 1; i >= 0; i-- {
		if madeUpID(v.list.id(i)) == id {
			return i
		}
	}
	return -1
}

// start returns the first place of a page, or the status of a refusal.
func (v *view) start(after string) (int, int) {
	if after == "" {
		return 0, 0
	}
	fault := v.f.Cursor
	p := 0
	if fault == CursorKept {
		if p = v.place(after); p >= 0 {
			return max(0, p-max(0, v.f.Overlap)), 0
		}
		if fault = v.f.LostCursor; fault == CursorKept {
			fault = CursorNotFound
		}
	}
	switch fault {
	case CursorNotFound:
		return 0, http.StatusNotFound
	case CursorUnprocessable:
		return 0, http.StatusUnprocessableEntity
	case CursorEmpty:
		return v.len(), 0
	}
	return 0, 0
}

func (v *view) special(start, end int) bool {
	for p := start; p < end; p++ {
		if i, madeUp := v.at(p); !madeUp && v.list.special(i) {
			return true
		}
	}
	return false
}

func (v *view) id(p int) string {
	i, madeUp := v.at(p)
	if madeUp {
		return madeUpID(v.list.id(i))
	}
	return v.list.id(i)
}

// page writes the places from start to before end.
func (v *view) page(b []byte, start, end int) []byte {
	b = append(b, `{"object":"list","data":[`...)
	for p := start; p < end; p++ {
		if p > start {
			b = append(b, ',')
		}
		b = v.event(b, p)
	}
	b = append(b, ']')
	first, last := "", ""
	if start < end && !v.f.EmptyLastID {
		first, last = v.id(start), v.id(end-1)
	}
	b = appendString(append(b, `,"first_id":`...), first)
	b = appendString(append(b, `,"last_id":`...), last)
	b = appendHasMore(b, v.f.HasMore, end < v.len())
	if v.f.ExtraFields {
		b = append(b, `,"total":null,"next":{"cursor":[1,2]}`...)
	}
	return append(b, '}')
}

func (v *view) event(b []byte, p int) []byte {
	i, madeUp := v.at(p)
	if madeUp {
		b = appendString(append(b, `{"id":`...), madeUpID(v.list.id(i)))
		b = append(b, `,"type":"made_up_type","data":{"note":"a client may not know me","after":`...)
		b = append(strconv.AppendInt(b, int64(i), 10), "}}"...)
	} else {
		b = v.list.append(b, i, v.mode)
	}
	if v.f.ExtraFields {
		b = append(b[:len(b)-1], `,"object":"training_job.event","extra":{"nested":[null,true]}}`...)
	}
	return b
}

func appendHasMore(b []byte, f HasMore, more bool) []byte {
	word := ""
	switch f {
	case HasMoreMissing:
		return b
	case HasMoreNull:
		word = "null"
	case HasMoreAlways:
		word = "true"
	case HasMoreNever:
		word = "false"
	default:
		word = strconv.FormatBool(more)
	}
	return append(append(b, `,"has_more":`...), word...)
}
