package aitems

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// service is one line of the list of services.
type service struct {
	id, name string
}

func (s service) key() string { return s.id }

// training is one line of the list of trainings of a service.
type training struct {
	kind, version, description, status string
	created                            string
	epochs                             float64 // planned; 0 is unknown
	odd                                []string
}

func (t training) key() string { return t.kind + "/" + t.version }

// readPage reads an answer that has a list under name. read is called for each element that is an object; an element that is
// none, or of which read says that it cannot be used, is counted and left out.
func readPage[T keyed](d *api.Decoder, name string, read func(d *api.Decoder) (T, bool, error)) (*page[T], error) {
	p, found := &page[T]{}, false
	err := d.Object(func(key string) error {
		switch key {
		case name:
			found = true
			if d.Kind() == api.Null {
				return nil
			}
			return p.read(d, name, read)
		case "limit":
			v, err := d.Value()
			if n, ok := v.Int(); ok && n > 0 && n <= maxItems {
				p.limit = int(n)
			}
			return err
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("the answer has no list %q: is base_url that of the AiTEMS API?", name)
	}
	return p, err
}

func (p *page[T]) read(d *api.Decoder, name string, read func(d *api.Decoder) (T, bool, error)) error {
	p.items, p.size = nil, 0
	return d.Array(func(int) error {
		p.size++
		if d.Kind() != api.Object {
			p.odd = append(p.odd, name)
			return nil
		}
		item, ok, err := read(d)
		if !ok {
			p.odd = append(p.odd, name)
			return err
		}
		p.items = append(p.items, item)
		return err
	})
}

func readServices(d *api.Decoder) (*page[service], error) {
	return readPage(d, "services", func(d *api.Decoder) (s service, ok bool, err error) {
		err = d.Object(func(key string) error {
			v, err := d.Value()
			switch key {
			case "serviceId":
				s.id = idOf(v)
			case "name":
				s.name, _ = v.Text()
			}
			return err
		})
		return s, isID(s.id), err
	})
}

func readTrainings(d *api.Decoder) (*page[training], error) {
	return readPage(d, "trains", func(d *api.Decoder) (training, bool, error) {
		var t training
		err := d.Object(func(key string) error { return t.read(d, key) })
		return t, isID(t.kind) && isID(t.version), err
	})
}

// read takes one field of a training. A field that is null is absent; one of another kind than documented is counted by name.
func (t *training) read(d *api.Decoder, key string) error {
	if key == "hpConfig" {
		return t.readOptions(d)
	}
	to := t.field(key)
	if to == nil {
		return nil
	}
	v, err := d.Value()
	if err != nil || v.Kind == api.Null {
		return err
	}
	text, ok := v.Text()
	if key == "version" && v.Kind == api.Number {
		text, ok = string(v.Raw), true
	}
	if !ok {
		t.odd = append(t.odd, key)
	}
	*to = text
	return nil
}

// field is where the text of a field belongs, nil for one that is not read.
func (t *training) field(key string) *string {
	switch key {
	case "type":
		return &t.kind
	case "version":
		return &t.version
	case "description":
		return &t.description
	case "status":
		return &t.status
	case "createdDate":
		return &t.created
	}
	return nil
}

// readOptions reads the one option that means the same everywhere. Options are numbers, texts or bools.
func (t *training) readOptions(d *api.Decoder) error {
	switch d.Kind() {
	case api.Null:
		return nil
	case api.Object:
	default:
		t.odd = append(t.odd, "hpConfig")
		return nil
	}
	return d.Object(func(key string) error {
		if key != "epochs" {
			return nil
		}
		v, err := d.Value()
		if f, ok, _ := v.Float(); ok && v.Kind != api.Bool && f > 0 && f < 1e9 {
			t.epochs = f
		}
		return err
	})
}

// idOf is an id; a number is one as it is written.
func idOf(v api.Value) string {
	if v.Kind == api.Number {
		return string(v.Raw)
	}
	text, _ := v.Text()
	return text
}

// maxID bounds an id; the documented ones have 11 characters.
const maxID = 128

// isID reports whether a text can be one part of a path and of a job's id.
func isID(s string) bool {
	if s == "" || len(s) > maxID || s == "." || s == ".." {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r == '/' || r == '\\' || r == '%' || r == '?' || r == '#' || r == ' ' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}) < 0
}

// update is one refresh run of a trained model.
type update struct {
	version, status   string
	created, finished string
	numbers           []collector.Reading // of its result
}

func (u update) key() string { return u.version }

func readUpdates(d *api.Decoder) (*page[update], error) {
	return readPage(d, "updates", func(d *api.Decoder) (update, bool, error) {
		var u update
		err := d.Object(func(key string) error { return u.read(d, key) })
		return u, isID(u.version), err
	})
}

func (u *update) read(d *api.Decoder, key string) error {
	if key == "updateResult" {
		return u.readResult(d)
	}
	v, err := d.Value()
	switch key {
	case "updateVersion":
		u.version = idOf(v)
	case "status":
		u.status, _ = v.Text()
	case "createdDate":
		u.created, _ = v.Text()
	case "finishedDate":
		u.finished, _ = v.Text()
	}
	return err
}

// maxNumbers bounds the numbers that are taken of one result.
const maxNumbers = 16

// readResult reads the numbers of a result. Only inputUsersCnt is documented by name; there are further counters.
func (u *update) readResult(d *api.Decoder) error {
	if d.Kind() != api.Object {
		return nil
	}
	return d.Object(func(key string) error {
		v, err := d.Value()
		f, ok, _ := v.Float()
		if v.Kind == api.Number && ok && isID(key) && len(u.numbers) < maxNumbers {
			u.numbers = append(u.numbers, collector.Reading{Metric: collector.FreeForm, Label: "updateResult." + key, Value: f})
		}
		return err
	})
}

func quote(s string) string {
	if len(s) > maxDate {
		s = s[:maxDate]
	}
	return `"` + collector.Clean(s) + `"`
}
