package assign

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

func TestConfigThatIsWrong(t *testing.T) {
	for want, c := range map[string]Config{
		"interval: must be from 100ms to 1h0m0s, is 10ms":   {Interval: model.Duration(10 * time.Millisecond)},
		"interval: must be from 100ms to 1h0m0s, is 2h0m0s": {Interval: model.Duration(2 * time.Hour)},
		"mapping_directories[0].path: required":             {MappingDirectories: []Directory{{Source: "s"}}},
		"mapping_directories[0].source: required":           {MappingDirectories: []Directory{{Path: "/a"}}},
		`mapping_directories[1].path: "/a" stands at mapping_directories[0]`: {
			MappingDirectories: []Directory{{Path: "/a", Source: "s"}, {Path: "/a", Source: "t"}},
		},
		"static[0].gpu: must be a UUID":                     {Static: []Static{{GPU: "GPU", Source: "s", Job: "j"}}},
		"static[0].gpu: must be a UUID (GPU-":               {Static: []Static{{GPU: "01", Source: "s", Job: "j"}}},
		"static[0].source: required":                        {Static: []Static{{GPU: "0", Job: "j"}}},
		"static[0].job: required":                           {Static: []Static{{GPU: "0", Source: "s"}}},
		"static[0].job: must be printable":                  {Static: []Static{{GPU: "0", Source: "s", Job: "a\n"}}},
		"static[1].job: must be printable":                  {Static: []Static{{GPU: uuid0, Source: "s", Job: "a"}, {GPU: mig10, Source: "s", Job: " a"}}},
		"kubelet.socket: must be at most 100 bytes":         {Kubelet: &Kubelet{Socket: "/" + strings.Repeat("x", 100)}},
		`kubelet.resources[1]: "[" is not a name`:           {Kubelet: &Kubelet{Resources: []string{"a", "["}}},
		`kubelet.resources[0]: "" is not a name`:            {Kubelet: &Kubelet{Resources: []string{""}}},
		"environment.source: required":                      {Environment: &Environment{Variables: []string{"A"}}},
		"environment.source: must be printable":             {Environment: &Environment{Source: "a\x00", Variables: []string{"A"}}},
		"environment.variables: required":                   {Environment: &Environment{Source: "s"}},
		`environment.variables[0]: "A=B" is not the name`:   {Environment: &Environment{Source: "s", Variables: []string{"A=B"}}},
		`environment.variables[1]: "" is not the name of a`: {Environment: &Environment{Source: "s", Variables: []string{"A", ""}}},
	} {
		err := c.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, other := New(c, Options{}); other == nil || other.Error() != err.Error() {
			t.Errorf("New: %v", other)
		}
	}
}

func TestConfigThatIsGood(t *testing.T) {
	var none Config
	if none.Enabled() || none.NeedsProcesses() || none.Validate() != nil || none.Every() != 10*time.Second {
		t.Errorf("an empty one: %+v", none)
	}
	a := assigner(t, none, Options{})
	if r := a.Look(t.Context(), host()); len(r.Jobs)+len(r.Pods)+len(r.Sources) != 0 {
		t.Errorf("it says %+v", r)
	}
	c := Config{
		MappingDirectories: []Directory{{Path: "jobs", Source: "s"}}, Kubelet: &Kubelet{},
		Environment: &Environment{Source: "s", Variables: []string{"A"}},
	}
	c.SetDirectory(filepath.FromSlash("/etc/bridge"))
	if !c.Enabled() || !c.NeedsProcesses() || c.Validate() != nil {
		t.Errorf("%+v", c)
	}
	d := c.withDefaults()
	equal(t, "path", d.MappingDirectories[0].Path, filepath.FromSlash("/etc/bridge/jobs"))
	equal(t, "socket", d.Kubelet.Socket, "/var/lib/kubelet/pod-resources/kubelet.sock")
	equal(t, "proc", d.Environment.Proc, "/proc")
	equal(t, "the one that was written", c.Kubelet.Socket+c.Environment.Proc+c.MappingDirectories[0].Path, "jobs")
	for resource, want := range map[string]bool{
		"nvidia.com/gpu": true, "nvidia.com/gpu.shared": true, "nvidia.com/mig-1g.10gb": true, "nvidia.com/mig-1g.10gb.shared": true,
		"nvidia.com/gpux": false, "amd.com/gpu": false, "cpu": false,
	} {
		if (&kubelet{Kubelet: *d.Kubelet}).isGPU(resource) != want {
			t.Errorf("%s is a GPU: %t", resource, !want)
		}
	}
}
