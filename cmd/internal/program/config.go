package program

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/exporters/otlp"
	"github.com/trainbridge/trainbridge/exporters/prom"
)

// maxConfigBytes bounds the configuration file.
const maxConfigBytes = 16 << 20

func loadConfig(file string, getenv func(string) string) (*settings, error) {
	data, err := readFile(file)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read the configuration: %w; name one with --config.file, or try: trainbridge demo", err)
		}
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parseConfig(file, data, getenv)
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err == nil && len(data) > maxConfigBytes {
		err = fmt.Errorf("%s is larger than %d bytes", file, maxConfigBytes)
	}
	return data, err
}

// parseConfig turns the text of a file into settings, or returns a *configError with everything that is wrong with it.
func parseConfig(file string, data []byte, getenv func(string) string) (*settings, error) {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("find the folder of the configuration: %w", err)
	}
	e := &configError{file: file, dir: dir}
	root := e.parse(data)
	if root == nil {
		return nil, e.orNil()
	}
	e.check(root, "", reflect.TypeFor[fileConfig]())
	var c fileConfig
	if len(e.problems) == 0 {
		if err := root.Decode(&c); err != nil {
			e.add(root.Line, "", "%s", err)
		}
	}
	if len(e.problems) > 0 {
		return nil, e.sourcesToo(root)
	}
	s := &settings{file: file, jobsAPI: c.API.Jobs}
	s.frozen = e.frozen(root, &c)
	s.sources = e.sources(root, c.Sources, c.GPUs != nil)
	s.gpus = e.gpus(root, c.GPUs)
	s.push = e.push(root, &c, getenv)
	s.frozen.Spans = s.push.otlp.Traces.Enabled
	if err := e.orNil(); err != nil {
		return nil, err
	}
	return s, nil
}

// sourcesToo adds what is wrong with the sources to what is wrong with the rest.
func (e *configError) sourcesToo(root *yaml.Node) error {
	if list, _ := child(root, "sources"); list != nil && resolve(list).Kind == yaml.SequenceNode {
		nodes := make([]yaml.Node, len(resolve(list).Content))
		for i, n := range resolve(list).Content {
			nodes[i] = *resolve(n)
		}
		e.sources(root, nodes, true)
	}
	return e.orNil()
}

// yamlLine finds the line in errors of package yaml.
var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// parse reads the one document of a file; nil if there is none that can be read.
func (e *configError) parse(data []byte) *yaml.Node {
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		e.add(0, "", "the file is empty")
		return nil
	}
	if err == nil {
		if err = d.Decode(&more); errors.Is(err, io.EOF) {
			err = nil
		} else if err == nil {
			e.add(more.Line, "", "a second document begins here; one file holds one")
			return nil
		}
	}
	if err != nil {
		line, text := 0, strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = m[2]
		}
		e.add(line, "", "not YAML: %s", text)
		return nil
	}
	if line := knot(doc.Content[0], map[*yaml.Node]bool{}, new(maxNodes)); line > 0 {
		e.add(line, "", "an alias (*) that contains itself, or stands for too much")
		return nil
	}
	root := resolve(doc.Content[0])
	switch {
	case isNull(root):
		e.add(0, "", "the file is empty")
		return nil
	case root.Kind != yaml.MappingNode:
		e.add(root.Line, "", "must be a mapping of names to values")
		return nil
	}
	return root
}

// maxNodes bounds a file with its aliases written out.
const maxNodes = 1_000_000

// knot finds the line of an alias that leads back to itself, or where budget is used up; 0 if the tree is sound.
func knot(n *yaml.Node, above map[*yaml.Node]bool, budget *int) int {
	if *budget--; above[n] || *budget < 0 {
		return n.Line
	}
	above[n] = true
	defer delete(above, n)
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return knot(n.Alias, above, budget)
	}
	for _, child := range n.Content {
		if line := knot(child, above, budget); line > 0 {
			return line
		}
	}
	return 0
}

func (e *configError) frozen(root *yaml.Node, c *fileConfig) frozen {
	at := func(path string) int { return lineOf(root, pathPart.FindAllString(path, -1)) }
	for path, n := range map[string]int{
		"state.outbox_spans": c.State.OutboxSpans, "metrics.jobs_per_source": c.Metrics.Jobs, "metrics.series": c.Metrics.Series,
		"metrics.names_per_job": c.Metrics.FreeForm,
	} {
		if n < 0 {
			e.add(at(path), path, "must not be negative")
		}
	}
	steps := collector.StepSpans(c.Traces.StepSpans)
	choices := []collector.StepSpans{"", collector.EachStep, collector.Windows, collector.NoSteps}
	if !slices.Contains(choices, steps) {
		e.add(at("traces.step_spans"), "traces.step_spans", "must be each, windows or none")
	}
	return frozen{
		StateDirectory: promconfig.JoinDir(e.dir, c.State.Directory), OutboxSpans: c.State.OutboxSpans,
		Retention: time.Duration(c.Retention), GroupRetention: time.Duration(c.GroupRetention), StepSpans: steps,
		Limits: collector.Limits{JobsPerSource: c.Metrics.Jobs, Series: c.Metrics.Series, FreeForm: c.Metrics.FreeForm},
	}
}

func (e *configError) push(root *yaml.Node, c *fileConfig, getenv func(string) string) pushSettings {
	node, _ := child(root, "otlp")
	if node == nil {
		node = &yaml.Node{Line: root.Line}
	}
	c.OTLP.SetDirectory(e.dir)
	who := ""
	if c.GPUs != nil { // each machine with GPUs has a bridge of its own, and what they push must not be one
		if host, err := os.Hostname(); err == nil {
			who = host
			c.OTLP.Identity = map[string]string{"service.instance.id": host, "host.name": host}
		}
	}
	s, err := c.OTLP.WithEnvironment(getenv)
	if err != nil {
		e.complain(node, "otlp", fieldsOf(reflect.TypeFor[otlp.Config]()), err)
	}
	labels := e.jobLabels(root, c.Metrics.JobLabels)
	return pushSettings{otlp: s, jobLabels: labels, digest: digestOf(node, who+"\x00"+strings.Join(labels, ","))}
}

// jobLabels turns labels in either spelling into attribute keys.
func (e *configError) jobLabels(root *yaml.Node, labels []string) []string {
	known := map[string]string{}
	for _, key := range prom.JobLabels() {
		known[key], known[collector.PromLabel(key)] = key, key
	}
	var keys, names []string
	for i, label := range labels {
		if key, ok := known[label]; ok {
			keys = append(keys, key)
			continue
		}
		for _, key := range prom.JobLabels() {
			names = append(names, collector.PromLabel(key))
		}
		path := fmt.Sprintf("metrics.job_labels[%d]", i)
		e.add(lineOf(root, pathPart.FindAllString(path, -1)), path, "%q is not a label of training_job_info, which has %s",
			label, strings.Join(names, ", "))
	}
	return keys
}

// digestOf tells whether a part of the file changed, in content and not in layout.
func digestOf(n *yaml.Node, more string) [sha256.Size]byte {
	var content any
	if !isNull(n) {
		if err := n.Decode(&content); err != nil { // as it was decoded before
			return [sha256.Size]byte{}
		}
	}
	text, err := yaml.Marshal(content)
	if err != nil {
		return [sha256.Size]byte{}
	}
	return sha256.Sum256(append(text, more...))
}
