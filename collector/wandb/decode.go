package wandb

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// pageReader decodes an answer of the events route, item by item, so that what came before a failure is kept.
type pageReader struct {
	stepKey string // Config.StepDurationKey
	page    page
	current item // the one being read
	inside  bool
	listed  bool    // the answer had a list
	sight   *finder // of the event that was asked for alone, nil otherwise
}

// errNoList is an answer that is JSON and no page of events.
var errNoList = errors.New(`the answer has no list "data": is base_url the address of the training API?`)

func (r *pageReader) read(d *api.Decoder) error {
	*r = pageReader{stepKey: r.stepKey, sight: r.sight}
	err := d.Object(func(key string) error {
		switch key {
		case "data":
			return r.readList(d)
		case "has_more":
			return r.readMore(d)
		}
		return nil
	})
	if err == nil && !r.listed {
		return errNoList
	}
	return err
}

func (r *pageReader) readList(d *api.Decoder) error {
	r.listed = true
	if d.Kind() == api.Null {
		return nil
	}
	return d.Array(func(int) error {
		r.current, r.inside = item{}, true
		if err := r.readItem(d); err != nil {
			return err
		}
		r.inside = false
		r.page.items = append(r.page.items, r.current)
		return nil
	})
}

func (r *pageReader) readMore(d *api.Decoder) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	more, ok := v.Bool()
	switch {
	case ok && more:
		r.page.more = moreYes
	case ok:
		r.page.more = moreNo
	case v.Kind != api.Null:
		r.page.odd = append(r.page.odd, "has_more")
	}
	return nil
}

// salvage is what can be used of a page that failed with err. Only a failure that the answer will always have counts: a
// connection that broke is tried again instead.
//
// The elements that were read to their end are used. An element that was asked for alone is what the failure is about: it is
// set aside under its id, so that the list goes on behind it.
func (r *pageReader) salvage(err error, limit int) (*page, bool) {
	if !isPoison(err) || len(r.page.items) > pageLimit {
		return nil, false
	}
	p := r.page
	p.more = moreYes
	if e := r.aside(); limit == 1 && r.inside && e.id != "" {
		p.items = append(p.items, e)
	}
	return &p, p.last() != ""
}

// aside is the element whose reading failed, without what it holds. That a job ended is taken nevertheless: nothing else will
// ever say so.
func (r *pageReader) aside() item {
	e := item{id: r.current.id, event: collector.Event{Bad: true}, odd: []string{"event"}}
	if r.sight == nil || len(r.page.items) > 0 {
		return e
	}
	e.id = cmp.Or(e.id, r.sight.value("id"))
	switch r.sight.value("type") {
	case "training_ended":
		e.event = collector.Event{Type: collector.EndedEvent}
	case "training_failed":
		e.event = collector.Event{Type: collector.EndedEvent, Failed: true}
	}
	return e
}

// alone makes the reader see the id and the type of an event that is asked for alone, wherever they stand in it and
// whatever else it holds.
func (r *pageReader) alone() { r.sight = &finder{keys: []string{"id", "type"}, list: "data"} }

// see takes the next part of an answer as it is written; nil begins another.
func (r *pageReader) see(b []byte) {
	if b == nil {
		r.sight.again()
		return
	}
	r.sight.add(b)
}

// readItem reads one event into r.current.
func (r *pageReader) readItem(d *api.Decoder) error {
	e := &r.current
	if d.Kind() != api.Object {
		v, err := d.Value()
		if err != nil {
			return err
		}
		e.event = collector.Event{Bad: true, ID: hashOf(string(v.Raw))}
		e.odd = append(e.odd, "event")
		return nil
	}
	var typ string
	data := eventData{odd: "data.missing"}
	err := d.Object(func(key string) (err error) {
		switch key {
		case "id":
			e.id, err = readID(d)
		case "type":
			typ, err = readText(d)
		case "data":
			err = data.read(d)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.finish(typ, &data)
	return nil
}

// readID reads an id that a page can be asked after; anything else is none.
func readID(d *api.Decoder) (string, error) {
	s, err := readText(d)
	if len(s) > maxID {
		return "", err
	}
	return s, err
}

// readText reads a string; anything else is the empty one.
func readText(d *api.Decoder) (string, error) {
	v, err := d.Value()
	if err != nil {
		return "", err
	}
	s, _ := v.Text()
	return s, nil
}

// finish makes the event of what was read. An event of the wrong shape still counts by its type.
func (r *pageReader) finish(typ string, data *eventData) {
	e := &r.current
	if e.id == "" {
		e.event = collector.Event{Bad: true, ID: hashOf(typ, fmt.Sprint(data.numbers), data.message)}
		e.odd = append(e.odd, "event.id")
		return
	}
	e.event.Type = collector.OtherEvent
	switch typ {
	case "training_started":
		e.event.Type = collector.StartedEvent
		e.event.Limit = data.take("num_sequences")
	case "gradient_step":
		e.event.Type = collector.StepEvent
		data.numbers, e.event.Duration = takeDuration(data.numbers, r.stepKey)
	case "training_ended":
		e.event.Type = collector.EndedEvent
	case "training_failed":
		e.event.Type, e.event.Failed, e.event.Message = collector.EndedEvent, true, data.message
	default:
		e.odd = append(e.odd, "event.type")
	}
	if data.odd != "" {
		e.odd = append(e.odd, data.odd)
	}
	if e.event.Type != collector.OtherEvent {
		e.event.Readings = readingsOf(data.numbers)
	}
}
