package program

import (
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// fieldPath is how configuration types name the field that an error is about: "jobs[2].id: required".
var fieldPath = regexp.MustCompile(`(?s)^([a-z][a-z0-9_]*(?:\[\d+\])*(?:\.[a-z][a-z0-9_]*(?:\[\d+\])*)*): (.*)$`)

var pathPart = regexp.MustCompile(`[a-z][a-z0-9_]*|\[\d+\]`)

// complain adds an error about a part of the file: a decoded node at path whose fields are f. If the error names a field its
// line is found, otherwise the line is that of the node.
func (e *configError) complain(n *yaml.Node, path string, f fields, err error) {
	m := fieldPath.FindStringSubmatch(err.Error())
	if m == nil {
		e.add(n.Line, path, "%s", err)
		return
	}
	parts := pathPart.FindAllString(m[1], -1)
	if _, known := f.of(parts[0]); !known {
		e.add(n.Line, path, "%s", err)
		return
	}
	e.add(lineOf(n, parts), join(path, m[1]), "%s", m[2])
}

// lineOf is the line of a field, or of what would hold it where it is not written.
func lineOf(n *yaml.Node, parts []string) int {
	n = resolve(n)
	line := n.Line
	for _, part := range parts {
		next, at := child(n, part)
		if next == nil {
			break
		}
		n, line = resolve(next), at
	}
	return line
}

// child is a field or item of a node and the line where it begins.
func child(n *yaml.Node, part string) (*yaml.Node, int) {
	switch {
	case part[0] == '[' && n.Kind == yaml.SequenceNode:
		i, err := strconv.Atoi(part[1 : len(part)-1])
		if err == nil && i < len(n.Content) {
			return n.Content[i], n.Content[i].Line
		}
	case n.Kind == yaml.MappingNode:
		return member(n, part)
	}
	return nil, 0
}

// member is a field of a mapping, its own before those that it merges.
func member(n *yaml.Node, name string) (*yaml.Node, int) {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		switch {
		case key.Tag != "!!merge" && key.Value == name:
			return n.Content[i+1], key.Line
		case key.Tag == "!!merge" && value.Kind == yaml.SequenceNode:
			merged = append(merged, value.Content...)
		case key.Tag == "!!merge":
			merged = append(merged, value)
		}
	}
	for _, from := range merged {
		if from = resolve(from); from.Kind == yaml.MappingNode && from != n {
			if found, line := member(from, name); found != nil {
				return found, line
			}
		}
	}
	return nil, 0
}
