// Package compose has only a test: what can be said of the composition without a container engine.
package compose

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/dashboards/grafana"
)

type service struct {
	Image   string
	Build   struct{ Context, Dockerfile string }
	Command []string
	Ports   []string
	Volumes []string
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestCompositionIsWhole(t *testing.T) {
	var c struct {
		Services map[string]service
		Volumes  map[string]any
	}
	read(t, "compose.yml", &c)
	pinned := regexp.MustCompile(`^[a-z]+/[a-z]+:v?\d+\.\d+\.\d+$`)
	for _, name := range []string{"trainbridge", "prometheus", "alertmanager", "tempo", "grafana"} {
		s, ok := c.Services[name]
		switch {
		case !ok:
			t.Errorf("there is no service %s", name)
		case s.Build.Dockerfile != "":
			mustExist(t, filepath.Join(s.Build.Context, s.Build.Dockerfile))
		case !pinned.MatchString(s.Image):
			t.Errorf("%s: the image %q is not pinned", name, s.Image)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, port)
			}
		}
		for _, v := range s.Volumes {
			host, rest, _ := strings.Cut(v, ":")
			if _, named := c.Volumes[host]; named {
				continue
			}
			mustExist(t, host)
			if !strings.HasSuffix(rest, ":ro") {
				t.Errorf("%s: %s is not mounted read-only", name, host)
			}
		}
	}
}

func mustExist(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

// TestGrafanaFindsWhatItIsTold: the data sources refer to each other, and the home page is one of the dashboards.
func TestGrafanaFindsWhatItIsTold(t *testing.T) {
	var sources struct {
		Datasources []struct {
			UID, Type string
			JSONData  struct {
				Exemplars []struct {
					UID string `yaml:"datasourceUid"`
				} `yaml:"exemplarTraceIdDestinations"`
				Metrics struct {
					UID string `yaml:"datasourceUid"`
				} `yaml:"tracesToMetrics"`
			} `yaml:"jsonData"`
		}
	}
	read(t, "grafana/provisioning/datasources/trainbridge.yml", &sources)
	kinds := map[string]string{}
	for _, s := range sources.Datasources {
		kinds[s.UID] = s.Type
	}
	for _, s := range sources.Datasources {
		for _, e := range s.JSONData.Exemplars {
			if kinds[e.UID] != "tempo" {
				t.Errorf("exemplars lead to %q", e.UID)
			}
		}
		if s.Type == "tempo" && kinds[s.JSONData.Metrics.UID] != "prometheus" {
			t.Errorf("spans lead to %q", s.JSONData.Metrics.UID)
		}
	}
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	read(t, "grafana/provisioning/dashboards/trainbridge.yml", &provider)
	text, err := os.ReadFile("compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	folder := provider.Providers[0].Options.Path
	home := regexp.MustCompile(`HOME_DASHBOARD_PATH: (\S+)`).FindSubmatch(text)
	if home == nil || filepath.Dir(string(home[1])) != folder || !strings.Contains(string(text), ":"+folder+":ro") {
		t.Errorf("dashboards are looked for in %s", folder)
	}
	known := false
	for _, d := range grafana.All() {
		known = known || filepath.Base(string(home[1])) == d.UID+".json"
	}
	if !known {
		t.Errorf("the home page %s is no dashboard", home[1])
	}
}

// TestPrometheusTakesItsConfiguration asks promtool, with the rules in the folders where the composition mounts them.
func TestPrometheusTakesItsConfiguration(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed, so Prometheus's configuration is not checked")
	}
	dir := t.TempDir()
	for name, folder := range map[string]string{"alerts": "../../dashboards/alerts", "rules": "../../dashboards/rules"} {
		absolute, err := filepath.Abs(folder)
		if err == nil {
			err = os.Symlink(absolute, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("prometheus.yml")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "prometheus.yml"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "config", filepath.Join(dir, "prometheus.yml")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAlertmanagerTakesItsConfiguration asks amtool.
func TestAlertmanagerTakesItsConfiguration(t *testing.T) {
	amtool, err := exec.LookPath("amtool")
	if err != nil {
		t.Skip("amtool is not installed, so Alertmanager's configuration is not checked")
	}
	if out, err := exec.CommandContext(t.Context(), amtool, "check-config", "alertmanager.yml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestInhibitionsAreTheProposedOnes: one trouble makes one call, as dashboards/alerts/README.md proposes.
func TestInhibitionsAreTheProposedOnes(t *testing.T) {
	type inhibitions struct {
		Rules []any `yaml:"inhibit_rules"`
	}
	page, err := os.ReadFile("../../dashboards/alerts/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```yaml\n# alertmanager.yml\n")
	block, _, _ = strings.Cut(block, "```")
	text, err := os.ReadFile("alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	var proposed, shipped inhibitions
	if err := errors.Join(yaml.Unmarshal([]byte(block), &proposed), yaml.Unmarshal(text, &shipped)); err != nil {
		t.Fatal(err)
	}
	if len(proposed.Rules) == 0 || !reflect.DeepEqual(proposed, shipped) {
		t.Errorf("shipped:\n%v\nproposed:\n%v", shipped, proposed)
	}
}
