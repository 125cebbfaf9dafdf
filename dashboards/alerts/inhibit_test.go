package alerts_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var (
	inhibitions = regexp.MustCompile("(?s)```yaml\n# alertmanager.yml\n(.*?)```")
	named       = regexp.MustCompile(`^alertname=~?"([A-Za-z|]+)"$`)
)

// TestInhibitionsFit: the inhibitions that README.md recommends name alerts that exist, and labels that the tests see on both sides.
func TestInhibitionsFit(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := inhibitions.FindSubmatch(page)
	if block == nil {
		t.Fatal("README.md has no inhibitions")
	}
	var config struct {
		Rules []struct {
			Sources []string `yaml:"source_matchers"`
			Targets []string `yaml:"target_matchers"`
			Equal   []string `yaml:"equal"`
		} `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(block[1], &config); err != nil || len(config.Rules) < 5 {
		t.Fatalf("%d inhibitions: %v", len(config.Rules), err)
	}
	seen := seenLabels(t)
	for _, r := range config.Rules {
		for _, matcher := range slices.Concat(r.Sources, r.Targets) {
			m := named.FindStringSubmatch(matcher)
			if m == nil {
				t.Errorf("%s is no matcher of alerts", matcher)
				continue
			}
			for alert := range strings.SplitSeq(m[1], "|") {
				for _, label := range append([]string{"severity"}, r.Equal...) {
					if !seen[alert][label] {
						t.Errorf("%s: no test sees %s with the label %s", matcher, alert, label)
					}
				}
			}
		}
	}
}
