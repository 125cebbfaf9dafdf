package wandb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
	"go.yaml.in/yaml/v3"
)

// Limits of one discovery file or answer.
const (
	maxTargetBytes = 32 << 20
	maxTargets     = 200_000
)

// target is one job that was discovered: an id and labels, never an address or a credential.
type target struct {
	id   string
	info collector.Info
}

// targets are the jobs of one file or answer, and the names of what was not understood in it.
type targets struct {
	list    []target
	unknown []string
	problem error // with the last target or label that was left out
}

// group is an element of the format that Prometheus calls file_sd and http_sd, with job ids as targets.
type group struct {
	Targets []string          `json:"targets" yaml:"targets"`
	Labels  map[string]string `json:"labels" yaml:"labels"`
}

// parseTargets reads a discovery file. The name decides between JSON and YAML, as Prometheus does; it may end in anything, and
// then is JSON.
func parseTargets(name string, body []byte) (targets, error) {
	var groups []group
	var err error
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml":
		err = decodeYAML(body, &groups)
	default:
		err = json.Unmarshal(body, &groups)
	}
	if err != nil {
		return targets{}, fmt.Errorf("not a list of {targets, labels}: %w", err)
	}
	return flatten(groups)
}

// decodeYAML reads exactly one document. An empty file is an error: it may be half written.
func decodeYAML(body []byte, groups *[]group) error {
	d := yaml.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(groups); err != nil {
		return err
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// flatten turns groups into targets. A target that cannot be a job id is left out and becomes a problem to tell: one
// team's mistake must not hide the jobs of others.
func flatten(groups []group) (targets, error) {
	var out targets
	for i, g := range groups {
		info, unknown := infoOf(g.Labels)
		out.unknown = append(out.unknown, unknown...)
		if _, err := collector.ParseBudget(info.Budget); err != nil { // the core counts it
			out.problem = fmt.Errorf("[%d].labels.budget: %w", i, err)
		}
		for k, id := range g.Targets {
			if err := checkID(id); err != nil {
				out.unknown = append(out.unknown, "discovery.id")
				out.problem = fmt.Errorf("[%d].targets[%d]: %w", i, k, err)
				continue
			}
			out.list = append(out.list, target{id, info})
		}
		if len(out.list) > maxTargets {
			return targets{}, fmt.Errorf("more than %d targets", maxTargets)
		}
	}
	return out, nil
}
