package engine

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/trainbridge/trainbridge/cmd/trainbridge-rehearse/engine/enginetest"
)

var shippedFor = flag.Duration("shipped.for", 30*time.Minute, "how long the shipped rules are evaluated, in virtual time")

// readsOf are the metrics that the shipped rules read and no rule records, with the values of labels that they ask for.
func readsOf(t *testing.T) map[string]map[string][]string {
	t.Helper()
	reads, recorded := make(map[string]map[string][]string), make(map[string]bool)
	for _, file := range shipped(t) {
		var content struct {
			Groups []struct {
				Rules []struct{ Record, Expr string }
			}
		}
		text, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(text, &content)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range content.Groups {
			for _, rule := range group.Rules {
				recorded[rule.Record] = true
				expr, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
				if err != nil {
					t.Fatal(err)
				}
				parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
					if s, ok := n.(*parser.VectorSelector); ok {
						read(reads, s)
					}
					return nil
				})
			}
		}
	}
	maps.DeleteFunc(reads, func(name string, _ map[string][]string) bool { return recorded[name] || name == "up" })
	return reads
}

func read(reads map[string]map[string][]string, s *parser.VectorSelector) {
	if reads[s.Name] == nil {
		reads[s.Name] = make(map[string][]string)
	}
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel || m.Name == "job" || (m.Type != labels.MatchEqual && m.Type != labels.MatchRegexp) {
			continue
		}
		for _, value := range strings.Split(m.Value, "|") {
			if !slices.Contains(reads[s.Name][m.Name], value) {
				reads[s.Name][m.Name] = append(reads[s.Name][m.Name], value)
			}
		}
	}
}

func shipped(t *testing.T) []string {
	t.Helper()
	files, err := ruleFiles([]string{dashboards + "/alerts/*.yml", dashboards + "/rules/*.yml"})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// fleet is an exposition of about this many series: everything that the shipped rules read, of as many jobs as of GPUs. A # stands where
// the time goes.
func fleet(t *testing.T, series int) (string, int) {
	t.Helper()
	reads := readsOf(t)
	per := 0
	for _, asked := range reads {
		n := 1
		for _, values := range asked {
			n *= len(values)
		}
		per += n
	}
	var b strings.Builder
	count := 0
	for _, name := range slices.Sorted(maps.Keys(reads)) {
		for i := range max(1, series/per) {
			for _, set := range product(reads[name]) {
				value := "0"
				switch {
				case strings.Contains(name, "_xid_"): // long ago: what fires costs more than what does not
				case strings.HasSuffix(name, "_timestamp_seconds"):
					value = "#"
				case name == "training_source_fault_info":
				case strings.HasSuffix(name, "_up"), strings.HasSuffix(name, "_info"), strings.Contains(set, `"running"`):
					value = "1"
				}
				fmt.Fprintf(&b, "%s{%s%s} %s\n", name, whose(name, i), set, value)
				count++
			}
		}
	}
	return b.String(), count
}

// whose are the labels of the job, source or GPU that a metric is about.
func whose(name string, i int) string {
	job := fmt.Sprintf(`training_source="s%d",training_job_id="j%d"`, i%3, i)
	switch gpu := fmt.Sprintf(`hw_id="GPU-%d"`, i); {
	case name == "training_gpu_assignment_info":
		return gpu + "," + job
	case name == "training_job_info":
		return fmt.Sprintf(`%s,training_job_name="name %d",training_project="p",training_owner="o"`, job, i)
	case strings.HasPrefix(name, "training_job_"):
		return job
	case strings.HasPrefix(name, "nvml_"), strings.HasPrefix(name, "hw_"):
		return gpu
	}
	return fmt.Sprintf(`training_source="s%d"`, i)
}

// product are all combinations of the values of labels.
func product(asked map[string][]string) []string {
	sets := []string{""}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		var longer []string
		for _, set := range sets {
			for _, value := range asked[name] {
				longer = append(longer, fmt.Sprintf("%s,%s=%q", set, name, value))
			}
		}
		sets = longer
	}
	return sets
}

// All of the shipped rules can be evaluated over two thousand series, and cost what CI can afford.
func TestShippedRules(t *testing.T) {
	text, series := fleet(t, 2000)
	files := shipped(t)
	before := processorTime(t)
	synctest.Test(t, func(t *testing.T) {
		toy := enginetest.Start(t, func() string {
			return strings.ReplaceAll(text, "#", fmt.Sprint(time.Now().Unix()-20))
		})
		e, err := Start(t.Context(), Options{Dial: toy.Dial, Target: enginetest.Target, Rules: files})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(*shippedFor)
		timeline, err := e.Stop()
		if err != nil {
			t.Errorf("trouble: %v", err)
		}
		if want := int(*shippedFor / DefaultInterval); timeline.Scrapes != want || timeline.FailedScrapes != 0 {
			t.Errorf("%d of %d scrapes, %d failed: %v", timeline.Scrapes, want, timeline.FailedScrapes, timeline.ScrapeErrors)
		}
		if !slices.ContainsFunc(timeline.Fired(), func(a Alert) bool { return a.Name == "TrainbridgeWatchdog" }) {
			t.Error("the watchdog does not fire")
		}
	})
	took := processorTime(t) - before
	t.Logf("%d series, %d files: %.2f processor seconds per virtual hour", series, len(files), took.Seconds()/shippedFor.Hours())
	if limit := time.Minute; took.Seconds()/shippedFor.Hours() > limit.Seconds() {
		t.Errorf("a virtual hour takes more than %v", limit)
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// A day passes in seconds, and the storage keeps all of it.
func TestVirtualDay(t *testing.T) {
	began := time.Now()
	rules := ruleFile(t, strings.Replace(brokenRule, "toy_broken == 1", "count_over_time(toy_broken[1d]) >= 2879", 1))
	synctest.Test(t, func(t *testing.T) {
		toy := enginetest.Start(t, func() string { return "toy_broken 0\n" })
		e, err := Start(t.Context(), Options{Dial: toy.Dial, Target: enginetest.Target, Rules: []string{filepath.ToSlash(rules)}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(26 * time.Hour)
		timeline, err := e.Stop()
		if err != nil {
			t.Error(err)
		}
		if timeline.Scrapes != 26*120 || timeline.FailedScrapes != 0 {
			t.Errorf("%d scrapes, %d failed", timeline.Scrapes, timeline.FailedScrapes)
		}
		near(t, "fired", only(t, timeline).Fired, timeline.Start, 24*time.Hour+4*time.Minute)
	})
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}
