package alerts_test

import (
	"regexp"
	"strings"
)

// usage is what a PromQL expression uses.
type usage struct {
	metrics   map[string]map[string]bool // labels that are matched, by metric
	labels    map[string]bool            // labels in by, on and the like
	functions map[string]bool
}

var token = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9][0-9a-zA-Z.]*|#.*|[{}()\[\],]|[^\s]`)

var identifier = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// words are identifiers that are neither metrics nor functions.
var words = map[string]bool{
	"and": true, "or": true, "unless": true, "bool": true, "offset": true, "Inf": true, "NaN": true, "inf": true, "nan": true,
}

// lists are words before a list of labels.
var lists = map[string]bool{
	"by": true, "without": true, "on": true, "ignoring": true, "group_left": true, "group_right": true,
}

// scan finds what an expression uses. It knows as much of PromQL as these rules need.
func scan(expr string) usage {
	u := usage{metrics: map[string]map[string]bool{}, labels: map[string]bool{}, functions: map[string]bool{}}
	tokens := token.FindAllString(expr, -1)
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	last := "" // the metric before a selector
	for i := 0; i < len(tokens); i++ {
		s := tokens[i]
		switch {
		case s == "{":
			for i++; at(i) != "}" && i < len(tokens); i++ {
				if identifier.MatchString(at(i)) && last != "" {
					u.metrics[last][at(i)] = true
				}
			}
		case s == "[":
			for at(i) != "]" && i < len(tokens) {
				i++
			}
		case lists[s] && at(i+1) == "(":
			for i += 2; at(i) != ")" && i < len(tokens); i++ {
				if identifier.MatchString(at(i)) {
					u.labels[at(i)] = true
				}
			}
		case !identifier.MatchString(s), words[s], lists[s], strings.HasPrefix(s, "#"):
		case at(i+1) == "(", lists[at(i+1)]:
			u.functions[s] = true
		default:
			last = s
			if u.metrics[s] == nil {
				u.metrics[s] = map[string]bool{}
			}
			continue
		}
		last = ""
	}
	return u
}
