package program

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var sourceName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// sources reads the list of sources. It may be empty where there is something else to watch.
func (e *configError) sources(root *yaml.Node, nodes []yaml.Node, mayBeEmpty bool) []*sourceSettings {
	if len(nodes) == 0 && !mayBeEmpty {
		e.add(lineOf(root, []string{"sources"}), "sources", "required: name at least one, or read the GPUs of this machine with gpus")
	}
	var all []*sourceSettings
	lines := map[string]int{}
	for i := range nodes {
		path := fmt.Sprintf("sources[%d]", i)
		s := e.source(resolve(&nodes[i]), path)
		if s == nil {
			continue
		}
		line := lineOf(s.node, []string{"name"})
		if first, taken := lines[s.Name]; taken {
			e.add(line, path+".name", "%q is the name of the source in line %d", s.Name, first)
		}
		lines[s.Name] = line
		all = append(all, s)
	}
	return all
}

func (e *configError) source(n *yaml.Node, path string) *sourceSettings {
	if n.Kind != yaml.MappingNode {
		e.add(n.Line, path, "must be a mapping of names to values")
		return nil
	}
	s := &sourceSettings{file: e.file, path: path, node: n}
	for _, f := range []struct {
		name string
		to   *string
	}{{"name", &s.Name}, {"kind", &s.Kind}} {
		if value, _ := child(n, f.name); value != nil && resolve(value).Kind == yaml.ScalarNode && !isNull(resolve(value)) {
			*f.to = resolve(value).Value
		}
	}
	known := false
	s.kind, known = kinds[s.Kind]
	switch {
	case s.Name == "":
		e.complain(n, path, headerFields(), errors.New("name: required"))
	case !sourceName.MatchString(s.Name):
		e.complain(n, path, headerFields(), fmt.Errorf("name: %q must be letters, digits, _, . and - only, at most 128", s.Name))
	case s.Kind == "":
		e.complain(n, path, headerFields(), fmt.Errorf("kind: required: one of %s", kindNames()))
	case !known:
		e.complain(n, path, headerFields(), fmt.Errorf("kind: %q is unknown: use one of %s", s.Kind, kindNames()))
	default:
		return e.decode(s)
	}
	return nil
}

func headerFields() fields { return fieldsOf(reflect.TypeFor[sourceHeader]()) }

func kindNames() string { return strings.Join(slices.Sorted(maps.Keys(kinds)), ", ") }

// decode fills in what belongs to the source's kind.
func (e *configError) decode(s *sourceSettings) *sourceSettings {
	before := len(e.problems)
	e.mapping(s.node, s.path, s.fields())
	if len(e.problems) > before {
		return s
	}
	config := reflect.New(s.kind.config)
	s.config = config.Interface()
	if err := s.node.Decode(s.config); err != nil {
		e.add(s.node.Line, s.path, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return s
	}
	if dir := config.Elem().FieldByName("Directory"); dir.IsValid() && dir.Kind() == reflect.String {
		dir.SetString(e.dir)
	}
	if v, ok := s.config.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			e.complain(s.node, s.path, s.fields(), err)
		}
	}
	s.digest = digestOf(s.node, "")
	return s
}

func (s *sourceSettings) fields() fields {
	return fieldsOf(reflect.TypeFor[sourceHeader](), s.kind.config)
}

// problem makes an error of the source's constructor one about the file.
func (s *sourceSettings) problem(err error) error {
	e := &configError{file: s.file}
	e.complain(s.node, s.path, s.fields(), err)
	return e
}
