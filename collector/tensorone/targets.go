package tensorone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/collector"
)

// Limits of one discovery file.
const (
	maxTargetBytes = 8 << 20
	maxTargets     = 50_000 // far more than can be asked
)

// target is one job that was named: an id and labels, never an address or a credential.
type target struct {
	id   string
	info collector.Info
}

// group is an element of the format that Prometheus calls file_sd, with job ids as targets.
type group struct {
	Targets []string          `json:"targets" yaml:"targets"`
	Labels  map[string]string `json:"labels" yaml:"labels"`
}

// parseTargets reads a discovery file. The name decides between JSON and YAML, as Prometheus does. A target that cannot be a job
// id is left out, and so is a label that cannot be read: one mistake must not hide other jobs. The error problem tells of it.
func parseTargets(name string, body []byte) (list []target, problem, err error) {
	var groups []group
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml":
		err = decodeYAML(body, &groups)
	default:
		err = json.Unmarshal(body, &groups)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("not a list of {targets, labels}: %w", err)
	}
	for i, g := range groups {
		info := infoOfLabels(g.Labels)
		if _, err := collector.ParseBudget(info.Budget); err != nil { // the core counts it
			problem = fmt.Errorf("[%d].labels.budget: %w", i, err)
		}
		for k, id := range g.Targets {
			if err := checkID(id); err != nil {
				problem = fmt.Errorf("[%d].targets[%d]: %w", i, k, err)
				continue
			}
			list = append(list, target{id, info})
		}
		if len(list) > maxTargets {
			return nil, nil, fmt.Errorf("more than %d targets", maxTargets)
		}
	}
	return list, problem, nil
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
