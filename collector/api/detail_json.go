package api

import (
	"cmp"
	"strings"
)

// read takes what it knows from an object of an error's body, at any level.
func (t *told) read(d *Decoder, depth int) error {
	return d.Object(func(key string) (err error) {
		switch key {
		case "detail":
			err = t.note(d, &t.detail)
		case "message", "msg", "returnMessage", "errorMessage", "error_description":
			err = t.note(d, &t.message)
		case "errorCode", "returnCode":
			err = t.noteCode(d, 0)
		case "code":
			err = t.noteCode(d, 1)
		case "error", "responseError", "status":
			err = t.nested(d, key, depth)
		case "details":
			err = t.readDetails(d)
		case "request_id", "requestId":
			err = t.note(d, &t.request)
		}
		return err
	})
}

// nested reads what may be an object like the one around it, a text, or a status to be left alone.
func (t *told) nested(d *Decoder, key string, depth int) error {
	switch {
	case d.Kind() == Object && depth < maxErrorDepth:
		return t.read(d, depth+1)
	case key == "status":
		return d.Skip()
	case d.Kind() == String:
		v, err := d.Value()
		t.codes[2], _ = v.Text()
		t.failure = cmp.Or(t.failure, t.codes[2])
		return err
	}
	return t.note(d, &t.failure)
}

// note keeps the first text it is given.
func (t *told) note(d *Decoder, into *string) error {
	text, err := messageOf(d, 0)
	*into = cmp.Or(*into, text)
	return err
}

func (t *told) noteCode(d *Decoder, i int) error {
	v, err := d.Value()
	text, ok := v.Text()
	if !ok && v.Kind == Number && len(v.Raw) <= maxCodeRunes {
		text = string(v.Raw)
	}
	t.codes[i] = cmp.Or(t.codes[i], text)
	return err
}

// readDetails reads details: a text, or an object of which a person or the gate can use two.
func (t *told) readDetails(d *Decoder) error {
	if d.Kind() != Object {
		return t.note(d, &t.more)
	}
	return d.Object(func(key string) error {
		switch key {
		case "required_permission":
			text, err := messageOf(d, 0)
			if text != "" {
				t.more = cmp.Or(t.more, "it needs the permission "+text)
			}
			return err
		case "retry_after":
			v, err := d.Value()
			t.seconds = Value{Kind: v.Kind, Raw: append([]byte(nil), v.Raw...)}
			return err
		}
		return nil
	})
}

// messageOf reads the next value as a message: a text, a list of them, or an object that has one.
func messageOf(d *Decoder, depth int) (string, error) {
	switch kind := d.Kind(); {
	case kind == Array && depth < 2:
		var all []string
		err := d.Array(func(i int) error {
			text, err := messageOf(d, depth+1)
			if text != "" && i < 10 {
				all = append(all, text)
			}
			return err
		})
		return strings.Join(all, "; "), err
	case kind == Object && depth < maxErrorDepth:
		return objectMessage(d, depth)
	case kind == String:
		v, err := d.Value()
		text, _ := v.Text()
		return text, err
	}
	return "", d.Skip()
}

// objectMessage reads {"loc": ["body", "limit"], "msg": "too large"} as "body.limit: too large".
func objectMessage(d *Decoder, depth int) (string, error) {
	var where []string
	var text string
	err := d.Object(func(key string) error {
		switch key {
		case "loc":
			if d.Kind() != Array {
				return nil
			}
			return d.Array(func(int) error {
				v, err := d.Value()
				part, ok := v.Text()
				if !ok {
					part = string(v.Raw)
				}
				where = append(where, part)
				return err
			})
		case "msg", "message", "detail":
			found, err := messageOf(d, depth+1)
			text = cmp.Or(text, found)
			return err
		}
		return nil
	})
	if len(where) > 0 && text != "" {
		text = strings.Join(where, ".") + ": " + text
	}
	return text, err
}
