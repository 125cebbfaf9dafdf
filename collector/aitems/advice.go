package aitems

import (
	"context"
	"errors"

	"github.com/trainbridge/trainbridge/collector/api"
)

// Advice says what will keep the source from being of use as things stand now, without asking anyone: a key file that is
// missing or empty. It may be mounted later. Each line begins with the name of a field.
func (s *Source) Advice() []string {
	var out []string
	for _, k := range s.keys {
		_, err := k.read(context.Background()) // a file or memory: it does not block
		var e *api.Error
		if errors.As(err, &e) {
			out = append(out, e.Detail)
		}
	}
	return out
}
