package nvml

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector/nvml/assign"
	"go.yaml.in/yaml/v3"
)

func TestDefaults(t *testing.T) {
	c := (&Config{}).withDefaults()
	if c.Interval != seconds(5) || c.SlowInterval != seconds(30) || c.Library != "libnvidia-ml.so.1" || !*c.Profiling || c.DCGMNames != "off" {
		t.Errorf("%+v", c)
	}
	if c.stale() != 11*time.Second || c.silence() != 30*time.Second {
		t.Errorf("stale after %s, silent after %s", c.stale(), c.silence())
	}
	c = (&Config{Interval: seconds(60)}).withDefaults()
	if c.SlowInterval != seconds(60) || c.silence() != 3*time.Minute {
		t.Errorf("%+v", c)
	}
}

func TestLibraryPath(t *testing.T) {
	dir := t.TempDir()
	for in, want := range map[string]string{
		"":                 "libnvidia-ml.so.1",
		"libother.so":      "libother.so",
		"sub/lib.so":       filepath.Join(dir, "sub/lib.so"),
		"/opt/lib.so":      "/opt/lib.so",
		"virtual:gpu.yaml": "virtual:" + filepath.Join(dir, "gpu.yaml"),
		"virtual:/g.yaml":  "virtual:/g.yaml",
	} {
		if got := (&Config{Library: in, Directory: dir}).library(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	minus, many := -1, 65
	for want, c := range map[string]Config{
		"interval: must be from 100ms to 1h, is 50ms":                     {Interval: model.Duration(50 * time.Millisecond)},
		"interval: must be from 100ms to 1h, is 2h":                       {Interval: seconds(7200)},
		"slow_interval: must be from 5s to 1h, is 1s":                     {SlowInterval: seconds(1)},
		"library: must be the name or path of a library, or virtual:FILE": {Library: "virtual:"},
		"expected: must be from 0 to 64, is -1":                           {Expected: &minus},
		"expected: must be from 0 to 64, is 65":                           {Expected: &many},
		`dcgm_names: must be off, classic or renamed, is "on"`:            {DCGMNames: "on"},
		"assignments.mapping_directories[0].path: required":               {Assignments: assign.Config{MappingDirectories: []assign.Directory{{}}}},
	} {
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if m, err := New(c, Env{}); err == nil || m != nil {
			t.Errorf("New takes what is wrong: %s", want)
		}
	}
}

func TestYAML(t *testing.T) {
	var c Config
	err := yaml.Unmarshal([]byte("{interval: 2s, slow_interval: 1m, library: x, expected: 8, profiling: false, processes: true, dcgm_names: off}"), &c)
	if err != nil || c.Interval != seconds(2) || *c.Expected != 8 || *c.Profiling || !c.Processes || c.DCGMNames != "off" || c.Validate() != nil {
		t.Errorf("%+v, %v", c, err)
	}
}
