package wandb

import (
	"encoding/json"
	"sync"
)

// modelKey is the member of a request's body that says which model is trained.
const modelKey = "model_id"

// finder looks for a text at the top of a JSON object that streams past, of any size, in constant memory: the bodies that
// trainers send hold all their trajectories. It checks nothing else. It is safe for concurrent use: a service may answer
// while a body is still sent.
type finder struct {
	mu       sync.Mutex
	depth    int
	inString bool
	escaped  bool
	expects  bool // the next text at the top is a key
	wanted   bool // the key before was the one
	text     []byte
	found    string
}

// add takes the next part of the body.
func (f *finder) add(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range b {
		if f.found != "" {
			return
		}
		if f.inString {
			f.inside(c)
		} else {
			f.outside(c)
		}
	}
}

func (f *finder) inside(c byte) {
	if c == '"' && !f.escaped {
		f.inString = false
		f.closed()
		return
	}
	f.escaped = c == '\\' && !f.escaped
	if f.depth == 1 && len(f.text) <= maxID {
		f.text = append(f.text, c)
	}
}

func (f *finder) outside(c byte) {
	switch c {
	case '"':
		f.inString, f.text = true, f.text[:0]
	case '{', '[':
		f.depth++
		f.expects = f.depth == 1 && c == '{'
	case '}', ']':
		f.depth--
	case ',':
		f.expects = f.depth == 1
	}
}

// closed looks at a text at the top that is complete.
func (f *finder) closed() {
	if f.depth != 1 {
		return
	}
	if f.expects {
		f.wanted, f.expects = string(f.text) == modelKey, false
		return
	}
	var s string
	if f.wanted && len(f.text) <= maxID && json.Unmarshal([]byte(`"`+string(f.text)+`"`), &s) == nil {
		f.found = s
	}
}

// value is what was found, empty if nothing was.
func (f *finder) value() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.found
}
