package wandb

import (
	"encoding/json"
	"slices"
	"sync"
)

// modelKey is the member of a request's body that says which model is trained.
const modelKey = "model_id"

// finder looks for texts in a JSON object that streams past, of any size, in constant memory: in the object itself, or in the
// first element of a list of it. It checks nothing else, and so reads what no decoder can: bodies that hold a trainer's
// whole trajectories, and events that break every limit or are no JSON. It is safe for concurrent use: a service may answer
// while a body is still sent.
type finder struct {
	keys []string // wanted
	list string   // the member with the list, empty to look in the object itself

	mu       sync.Mutex
	depth    int
	inside   bool // of the object that is looked at
	listed   bool // of the list
	ended    bool // the object is closed
	inString bool
	escaped  bool
	expects  bool // the next text is a key
	key      string
	text     []byte
	found    map[string]string
}

// add takes the next part of the body.
func (f *finder) add(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range b {
		switch {
		case f.ended || len(f.found) == len(f.keys):
			return
		case f.inString:
			f.character(c)
		default:
			f.structure(c)
		}
	}
}

// again forgets everything: the body begins anew.
func (f *finder) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.depth, f.inside, f.listed, f.ended = 0, false, false, false
	f.inString, f.escaped, f.expects, f.key, f.found = false, false, false, "", nil
}

// level is the depth of the object that is looked at.
func (f *finder) level() int {
	if f.list == "" {
		return 1
	}
	return 3
}

// reads reports whether texts at the place that was come to mean something.
func (f *finder) reads() bool { return f.depth == 1 || f.inside && f.depth == f.level() }

func (f *finder) character(c byte) {
	if c == '"' && !f.escaped {
		f.inString = false
		if f.reads() {
			f.closed()
		}
		return
	}
	f.escaped = c == '\\' && !f.escaped
	if f.reads() && len(f.text) <= maxID {
		f.text = append(f.text, c)
	}
}

func (f *finder) structure(c byte) {
	switch c {
	case '"':
		f.inString, f.text = true, f.text[:0]
	case '{', '[':
		f.depth++
		f.expects = c == '{'
		f.listed = f.listed && f.depth > 2 || f.depth == 2 && c == '[' && f.key == f.list
		f.ended = f.listed && f.depth == 3 && c == '[' && !f.inside
		f.inside = f.inside || c == '{' && f.depth == f.level() && (f.list == "" || f.listed)
	case '}', ']':
		f.ended = f.inside && f.depth == f.level()
		f.depth--
	case ',':
		f.expects = f.reads()
	}
}

// closed looks at a text that is complete.
func (f *finder) closed() {
	if f.expects {
		f.key, f.expects = string(f.text), false
		return
	}
	var s string
	if f.inside && len(f.text) > 0 && slices.Contains(f.keys, f.key) && len(f.text) <= maxID && json.Unmarshal([]byte(`"`+string(f.text)+`"`), &s) == nil {
		if f.found == nil {
			f.found = map[string]string{}
		}
		f.found[f.key] = s
	}
}

// value is what was found for a key, empty if nothing was.
func (f *finder) value(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found[key]
}
