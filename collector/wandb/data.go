package wandb

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"

	"github.com/trainbridge/trainbridge/collector/api"
)

// eventData is what is taken from an event's data: an open map of anything.
type eventData struct {
	numbers []number
	message string // of error_message
	odd     string // the name to count where it is not an object
}

func (e *eventData) read(d *api.Decoder) error {
	*e = eventData{}
	switch kind := d.Kind(); kind {
	case api.Object:
		return e.object(d, "", 1)
	case api.String: // may be the reason of a failure
		s, err := readText(d)
		e.message, e.odd = clip(s, maxText), "data.string"
		return err
	default:
		e.odd = "data." + kindName(kind)
		return nil
	}
}

func kindName(k api.Kind) string {
	switch k {
	case api.Null:
		return "null"
	case api.Bool:
		return "bool"
	case api.Number:
		return "number"
	case api.Array:
		return "array"
	}
	return "other"
}

// object collects the numbers of an object and of those in it. Lists and text are no numbers.
func (e *eventData) object(d *api.Decoder, prefix string, depth int) error {
	return d.Object(func(key string) error {
		name := prefix + key
		switch d.Kind() {
		case api.Array:
			return e.text(d, name)
		case api.Object:
			if name == errorMessage {
				return e.text(d, name)
			}
			if depth == maxNesting || len(name) > maxKey {
				return nil
			}
			return e.object(d, name+"/", depth+1)
		}
		v, err := d.Value()
		if err != nil {
			return err
		}
		if name == errorMessage {
			e.message = messageOf(v)
			return nil
		}
		f, ok, null := v.Float()
		if (ok || null) && len(name) <= maxKey && len(e.numbers) < maxNumbers {
			e.numbers = append(e.numbers, number{key: name, value: f, null: null})
		}
		return nil
	})
}

// errorMessage is the key of the reason of a failure, which may be missing.
const errorMessage = "error_message"

// text takes a message that is an object or list as it was written. Under other names they are skipped.
func (e *eventData) text(d *api.Decoder, name string) error {
	if name != errorMessage {
		return nil
	}
	v, err := d.Value()
	if err != nil {
		return err
	}
	e.message = messageOf(v)
	return nil
}

// messageOf is a message of whatever type.
func messageOf(v api.Value) string {
	if v.Kind == api.Null {
		return ""
	}
	if s, ok := v.Text(); ok {
		return clip(s, maxText)
	}
	return clip(string(v.Raw), maxText)
}

// take takes a number that is a plan out of the list; what cannot be one is 0.
func (e *eventData) take(key string) float64 {
	i := slices.IndexFunc(e.numbers, func(n number) bool { return n.key == key })
	if i < 0 {
		return 0
	}
	n := e.numbers[i]
	e.numbers = slices.Delete(e.numbers, i, i+1)
	if n.null || math.IsNaN(n.value) || math.IsInf(n.value, 0) || n.value < 0 {
		return 0
	}
	return n.value
}

// hashOf is a short name for content.
func hashOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p)) // a hash takes everything
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}
