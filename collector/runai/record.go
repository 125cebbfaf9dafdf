package runai

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// record is one row of the events or the history of a workload.
type record struct {
	id      string         // the service's; empty if it gave none
	content string         // a hash of what the row says, its time included: what tells rows without an id apart
	at      collector.Time // unknown if it cannot be read
	phase   bool           // a change of phase; else an event
	event   collector.Event
}

// key is what the row is.
func (r *record) key() string {
	if r.id != "" {
		return r.id
	}
	return r.content
}

// recordPage is one answer of the events or the history.
type recordPage struct {
	list    string    // the name of the list in the answer
	records []*record // nil elements stand for rows that say nothing
	more    bool
	next    int
	odd     []string // names of fields not understood

	found  bool // the answer had the list
	inside bool // a row was being read
}

// The lists.
const (
	eventList   = "events"
	historyList = "records"
)

func (p *recordPage) read(d *api.Decoder) error {
	*p = recordPage{list: p.list}
	err := d.Object(func(key string) error {
		switch key {
		case p.list:
			return p.readList(d)
		case "next":
			return readNext(d, &p.more, &p.next)
		}
		return nil
	})
	if err == nil && !p.found {
		return errors.New(`the answer has no list "` + p.list + `": is base_url the address of Run:ai?`)
	}
	return err
}

// readNext reads the offset of the next page: a number, also as text. null and "" are the end.
func readNext(d *api.Decoder, more *bool, next *int) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	n, ok := v.Int()
	*more, *next = false, 0
	if ok && n >= 0 && n < 1<<31 {
		*more, *next = true, int(n)
	}
	return nil
}

func (p *recordPage) readList(d *api.Decoder) error {
	p.found, p.records = true, p.records[:0]
	if d.Kind() == api.Null {
		return nil
	}
	return d.Array(func(int) (err error) {
		p.inside = true
		var r *record
		if p.list == eventList {
			r, err = p.readEvent(d)
		} else {
			r, err = p.readHistory(d)
		}
		if err != nil {
			return err
		}
		p.inside = false
		p.records = append(p.records, r)
		return nil
	})
}

func (p *recordPage) note(name string) { p.odd = append(p.odd, name) }

// maxText bounds a text that is kept; what is shown of it is shorter.
const maxText = 1024

func clip(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// rawEvent is an event as the API has it.
type rawEvent struct {
	id, typ, reason, source, message string
	object                           [3]string // kind, name, uid
	at                               collector.Time
}

// readEvent reads an event. Elements that are null are documented, and say nothing.
func (p *recordPage) readEvent(d *api.Decoder) (*record, error) {
	if d.Kind() != api.Object {
		if d.Kind() != api.Null {
			p.note("event")
		}
		return nil, d.Skip()
	}
	var e rawEvent
	err := d.Object(func(key string) error {
		if key == "involvedObject" && d.Kind() == api.Object {
			return e.readObject(d)
		}
		v, err := d.Value()
		if err != nil {
			return err
		}
		p.readField(&e, key, v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return e.record(), nil
}

func (p *recordPage) readField(e *rawEvent, key string, v api.Value) {
	switch key {
	case "id":
		e.id = shortID(textIn(v))
	case "createdAt":
		var odd bool
		if e.at, odd = timeIn(v); odd {
			p.note("event.createdAt")
		}
	case "type":
		if e.typ = textIn(v); e.typ != "Normal" && e.typ != "Warning" {
			p.note("event.type")
		}
	case "reason":
		e.reason = textIn(v)
	case "source":
		e.source = textIn(v)
	case "message":
		e.message = textIn(v)
	}
}

func (e *rawEvent) readObject(d *api.Decoder) error {
	return d.Object(func(key string) error {
		v, err := d.Value()
		if err != nil {
			return err
		}
		switch key {
		case "kind":
			e.object[0] = textIn(v)
		case "name":
			e.object[1] = textIn(v)
		case "uid":
			e.object[2] = textIn(v)
		}
		return nil
	})
}

// shortID is an id that does not grow the record of a job.
func shortID(id string) string {
	if len(id) > 128 {
		return "long-" + hashOf(id)
	}
	return id
}

func (e *rawEvent) record() *record {
	r := &record{id: e.id, at: e.at}
	r.content = "e-" + hashOf(millis(e.at), e.typ, e.reason, e.source, e.message, e.object[0], e.object[1], e.object[2])
	r.event = collector.Event{
		Type: collector.NoticeEvent, At: e.at, Reason: reasonOf(e.reason), Message: clip(e.message), Warning: warns(e.typ, e.reason),
	}
	return r
}

// hashOf is a short name for content.
func hashOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(strconv.Itoa(len(p)))) // a hash takes everything
		h.Write([]byte{0})
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// rawRecord is a record of a history.
type rawRecord struct {
	at         collector.Time
	typ        string
	event      *record
	hasPhase   bool
	phase, why string
}

// readHistory reads a record of a history. Which of its members says something is told by meta.type; the other may be null or
// absent, and so may that one.
func (p *recordPage) readHistory(d *api.Decoder) (*record, error) {
	if d.Kind() != api.Object {
		if d.Kind() != api.Null {
			p.note("history")
		}
		return nil, d.Skip()
	}
	var h rawRecord
	err := d.Object(func(key string) error {
		switch {
		case key == "meta" && d.Kind() == api.Object:
			return p.readMeta(d, &h)
		case key == "spec" && d.Kind() == api.Object:
			return p.readSpec(d, &h)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p.finish(&h), nil
}

func (p *recordPage) readMeta(d *api.Decoder, h *rawRecord) error {
	return d.Object(func(key string) error {
		v, err := d.Value()
		if err != nil {
			return err
		}
		switch key {
		case "creationTimestamp":
			var odd bool
			if h.at, odd = timeIn(v); odd {
				p.note("history.creationTimestamp")
			}
		case "type":
			h.typ = textIn(v)
		}
		return nil
	})
}

func (p *recordPage) readSpec(d *api.Decoder, h *rawRecord) error {
	return d.Object(func(key string) (err error) {
		switch {
		case key == "event" && d.Kind() == api.Object:
			h.event, err = p.readEvent(d)
		case key == "phaseUpdate" && d.Kind() == api.Object:
			h.hasPhase = true
			err = h.readPhase(d)
		}
		return err
	})
}

func (h *rawRecord) readPhase(d *api.Decoder) error {
	return d.Object(func(key string) error {
		v, err := d.Value()
		if err != nil {
			return err
		}
		switch key {
		case "phase":
			h.phase = textIn(v)
		case "phaseMessage":
			h.why = textIn(v)
		}
		return nil
	})
}

// finish makes a row of a record; nil if it says nothing.
func (p *recordPage) finish(h *rawRecord) *record {
	switch {
	case h.typ == "Event", h.typ == "" && h.event != nil:
		if h.event != nil && !h.event.at.Known() {
			h.event.at, h.event.event.At = h.at, h.at
		}
		return h.event
	case h.typ == "PhaseUpdate", h.typ == "" && h.hasPhase:
		if !h.hasPhase || h.phase == "" {
			return nil
		}
		return p.phaseRecord(h)
	}
	p.note("history.type")
	return nil
}

func (p *recordPage) phaseRecord(h *rawRecord) *record {
	phase, known := phaseOf(h.phase)
	if !known {
		p.note("history.phase")
	}
	content := "p-" + string(phaseRank(h.phase)) + "-" + hashOf(millis(h.at), h.phase, h.why)
	return &record{content: content, at: h.at, phase: true, event: collector.Event{
		Type: collector.PhaseEvent, At: h.at, Phase: phase, Status: clip(h.phase), Message: clip(h.why),
	}}
}
