package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// startTimeout is how long a server may take to answer on a machine whose cores are busy with something else.
const startTimeout = 60 * time.Second

// pollEvery is the time between two looks at something that a test waits for.
const pollEvery = 100 * time.Millisecond

// A PrometheusConfig says what a [Prometheus] does. Its zero value scrapes nothing and only takes OTLP.
type PrometheusConfig struct {
	Targets  []string      // host:port of each program to scrape at /metrics
	Interval time.Duration // between scrapes of a target; 1 s if zero
	// Protocols is what to ask a target for, best first, by Prometheus's names: PrometheusProto, OpenMetricsText1.0.0,
	// OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4. Empty means what Prometheus asks for by itself.
	Protocols        []string
	NativeHistograms bool     // ingest them; they come only by PrometheusProto
	RuleFiles        []string // absolute paths
	Alertmanager     string   // host:port; alerts are sent nowhere if it is empty
	Features         []string // beyond exemplar-storage
	// TroubleExpected leaves it to the test to look at [Prometheus.Trouble]. Otherwise any trouble fails the test.
	TroubleExpected bool
}

// A Prometheus is a running Prometheus server.
type Prometheus struct {
	*Process
	API prometheus.API // the whole query API
	URL string         // http://127.0.0.1:PORT

	targets int
}

// StartPrometheus starts a Prometheus that scrapes as config says and takes OTLP at [Prometheus.OTLPURL]. It returns when the
// server is ready. When the test ends it fails the test for every failed scrape and every warning in the log.
func StartPrometheus(t testing.TB, config PrometheusConfig) *Prometheus {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(file, config.render(t), 0o600); err != nil {
		t.Fatalf("write the configuration of Prometheus: %v", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), Tool(t, "prometheus"),
		"--config.file="+file,
		"--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address=127.0.0.1:0",
		"--web.enable-otlp-receiver",
		"--web.enable-lifecycle",
		"--scrape.discovery-reload-interval=100ms",
		"--log.format=json",
		"--log.level=debug", // a failed scrape is not worth more to Prometheus
		"--enable-feature="+strings.Join(append([]string{"exemplar-storage"}, config.Features...), ","),
	)
	p := &Prometheus{Process: Start(t, "prometheus", cmd), targets: len(config.Targets)}
	p.URL = "http://" + p.WaitFor(t, startTimeout, `"msg":"Listening on","component":"web","address":"([^"]+)"`)[1]
	client, err := api.NewClient(api.Config{Address: p.URL})
	if err != nil {
		t.Fatalf("make a client of Prometheus: %v", err)
	}
	p.API = prometheus.NewAPI(client)
	p.WaitFor(t, startTimeout, `"msg":"Server is ready to receive web requests."`)
	t.Cleanup(func() {
		if trouble := p.Trouble(); len(trouble) > 0 && !config.TroubleExpected {
			t.Errorf("Prometheus complains:\n%s", strings.Join(trouble, "\n"))
		}
	})
	return p
}

// render writes the configuration file as JSON, which is YAML.
func (c PrometheusConfig) render(t testing.TB) []byte {
	t.Helper()
	interval := c.Interval
	if interval == 0 {
		interval = time.Second
	}
	every := model.Duration(interval).String()
	scrape := map[string]any{
		"job_name":                         "trainbridge",
		"static_configs":                   []any{map[string]any{"targets": c.Targets}},
		"scrape_native_histograms":         c.NativeHistograms,
		"always_scrape_classic_histograms": true,
	}
	if len(c.Protocols) > 0 {
		scrape["scrape_protocols"] = c.Protocols
	}
	config := map[string]any{
		"global":     map[string]any{"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
		"rule_files": c.RuleFiles,
		"storage":    map[string]any{"tsdb": map[string]any{"out_of_order_time_window": "5m"}},
	}
	if len(c.Targets) > 0 {
		config["scrape_configs"] = []any{scrape}
	}
	if c.Alertmanager != "" {
		config["alerting"] = map[string]any{"alertmanagers": []any{
			map[string]any{"static_configs": []any{map[string]any{"targets": []string{c.Alertmanager}}}},
		}}
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		t.Fatalf("write the configuration of Prometheus: %v", err)
	}
	return text
}

// OTLPURL is the URL that takes OTLP metrics over HTTP, whole (OTEL_EXPORTER_OTLP_METRICS_ENDPOINT).
func (p *Prometheus) OTLPURL() string { return p.URL + "/api/v1/otlp/v1/metrics" }

// Trouble returns what Prometheus held against its targets and its configuration so far: the warnings and errors of its
// log, and whatever scraping logs below that, which is one line for each failed scrape and each bad sample.
func (p *Prometheus) Trouble() []string {
	var found []string
	for _, line := range p.Log() {
		if trouble.MatchString(line) {
			found = append(found, line)
		}
	}
	return found
}

var trouble = regexp.MustCompile(`"level":"(WARN|ERROR)"|"level":"DEBUG".*"component":"scrape manager"`)

// Query answers an instant query as of now. The test fails if Prometheus refuses or warns.
func (p *Prometheus) Query(t testing.TB, expression string) model.Vector {
	t.Helper()
	vector, err := p.query(t.Context(), expression)
	if err != nil {
		t.Fatal(err)
	}
	return vector
}

func (p *Prometheus) query(ctx context.Context, expression string) (model.Vector, error) {
	value, warnings, _, err := p.API.Query(ctx, expression, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expression, err)
	}
	if len(warnings) > 0 {
		return nil, fmt.Errorf("query %s: Prometheus warns: %s", expression, strings.Join(warnings, "; "))
	}
	switch value := value.(type) {
	case model.Vector:
		return value, nil
	case *model.Scalar:
		return model.Vector{{Value: value.Value, Timestamp: value.Timestamp}}, nil
	default:
		return nil, fmt.Errorf("query %s: the answer is a %v, not a vector", expression, value.Type())
	}
}

// Eventually repeats an instant query until ok accepts its answer, which it returns. The test fails after timeout.
func (p *Prometheus) Eventually(t testing.TB, timeout time.Duration, expression string, ok func(model.Vector) bool) model.Vector {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(pollEvery) {
		vector := p.Query(t, expression)
		if ok(vector) {
			return vector
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v the query %s still answers:\n%v", timeout, expression, vector)
		}
	}
}

// Scraped waits until every target was scraped without an error at least n times.
func (p *Prometheus) Scraped(t testing.TB, n int, timeout time.Duration) {
	t.Helper()
	p.Eventually(t, timeout, fmt.Sprintf(`sum_over_time(up[1h]) >= %d`, n), func(up model.Vector) bool {
		return len(up) == p.targets
	})
}

// Any accepts every answer that is not empty.
func Any(vector model.Vector) bool { return len(vector) > 0 }
