package program

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// problem is one thing that is wrong with a configuration file.
type problem struct {
	line int
	path string // of the field, such as sources[0].jobs[1].id; empty is the file
	text string
}

// configError is everything that is wrong with a configuration file, one line each, in the order of the file.
type configError struct {
	file     string
	dir      string // of the file, absolute
	problems []problem
}

// Error implements error.
func (e *configError) Error() string {
	lines := make([]string, len(e.problems))
	for i, p := range e.problems {
		lines[i] = e.file
		if p.line > 0 {
			lines[i] += fmt.Sprintf(":%d", p.line)
		}
		if p.path != "" {
			lines[i] += ": " + p.path
		}
		lines[i] += ": " + p.text
	}
	return strings.Join(lines, "\n")
}

func (e *configError) add(line int, path, format string, args ...any) {
	e.problems = append(e.problems, problem{line, path, fmt.Sprintf(format, args...)})
}

// orNil is e in the order of lines, or nil if nothing is wrong.
func (e *configError) orNil() error {
	if len(e.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(e.problems, func(a, b problem) int { return a.line - b.line })
	return e
}

// fields are what a mapping may hold.
type fields struct {
	named map[string]reflect.Type
	rest  reflect.Type // of any other name; nil if there may be none
}

// fieldsOf reads the yaml tags of structs as package yaml does.
func fieldsOf(types ...reflect.Type) fields {
	f := fields{named: map[string]reflect.Type{}}
	for _, t := range types {
		f.addStruct(indirect(t))
	}
	return f
}

func (f *fields) addStruct(t reflect.Type) {
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case slices.Contains(strings.Split(options, ","), "inline"):
			f.addInline(indirect(field.Type))
		case name == "":
			f.named[strings.ToLower(field.Name)] = field.Type
		default:
			f.named[name] = field.Type
		}
	}
}

func (f *fields) addInline(t reflect.Type) {
	if t.Kind() == reflect.Map {
		f.rest = t.Elem()
		return
	}
	f.addStruct(t)
}

func (f *fields) of(name string) (reflect.Type, bool) {
	if t, ok := f.named[name]; ok {
		return t, true
	}
	return f.rest, f.rest != nil
}

func indirect(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// check holds a node to the type it will be decoded into and adds everything that does not fit, so that decoding it cannot fail.
func (e *configError) check(n *yaml.Node, path string, t reflect.Type) {
	n = resolve(n)
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && isNull(n) {
		e.add(n.Line, path, "has no value: write {} to take all defaults")
		return
	}
	t = indirect(t)
	switch {
	case t == reflect.TypeFor[yaml.Node](), isNull(n):
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		before := len(e.problems)
		if e.mapping(n, path, fieldsOf(t)); before == len(e.problems) {
			e.leaf(n, path, t) // the type's own checks
		}
	case unmarshals(t):
		e.leaf(n, path, t)
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			e.check(item, fmt.Sprintf("%s[%d]", path, i), t.Elem())
		}
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		e.mapping(n, path, fields{rest: t.Elem()})
	default:
		e.leaf(n, path, t)
	}
}

func (e *configError) mapping(n *yaml.Node, path string, f fields) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			e.merge(resolve(value), path, f)
			continue
		}
		at := join(path, key.Value)
		t, known := f.of(key.Value)
		switch first, twice := lines[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			e.add(key.Line, path, "a field name must be plain text")
		case twice:
			e.add(key.Line, at, "set twice, first in line %d", first)
		case !known:
			e.add(key.Line, at, "unknown field")
		default:
			e.check(value, at, t)
		}
		lines[key.Value] = key.Line
	}
}

// merge checks what a merge key (<<) takes over.
func (e *configError) merge(n *yaml.Node, path string, f fields) {
	switch n.Kind {
	case yaml.MappingNode:
		e.mapping(n, path, f)
	case yaml.SequenceNode:
		for _, item := range n.Content {
			e.mapping(resolve(item), path, f)
		}
	default:
		e.add(n.Line, path, "a merge needs a mapping")
	}
}

// leaf decodes a value for its error only.
func (e *configError) leaf(n *yaml.Node, path string, t reflect.Type) {
	if n.Tag == "!!float" && isInteger(t) { // which package yaml would cut off
		e.add(n.Line, path, "must be a whole number")
		return
	}
	err := n.Decode(reflect.New(t).Interface())
	if err == nil {
		return
	}
	var mismatch *yaml.TypeError
	if errors.As(err, &mismatch) || n.Kind != yaml.ScalarNode && t.Kind() != reflect.Struct {
		e.add(n.Line, path, "must be %s", kindWord(t))
		return
	}
	if t.Name() == "URL" { // the parser's own words would show a password
		e.add(n.Line, path, "must be a URL")
		return
	}
	e.add(n.Line, path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
}

// kindWord says what a value of a type looks like, in the operator's words and without repeating what was written: it may be
// a secret in the wrong place.
func kindWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		if t.Name() == "URL" {
			return "a URL"
		}
		return "a mapping of names to values"
	case reflect.String:
		return "text"
	}
	if unmarshals(t) {
		return "text, such as 30s"
	}
	return "a whole number"
}

func isInteger(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr && !unmarshals(t)
}

// unmarshals reports whether a type decodes itself, in either of the ways that package yaml knows.
func unmarshals(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[yaml.Unmarshaler]()) ||
		p.Implements(reflect.TypeFor[interface{ UnmarshalYAML(func(any) error) error }]())
}

func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
