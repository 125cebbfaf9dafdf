package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// knows is what must come of each service: a query that has an answer once its jobs ran for a while.
var knows = map[string][]string{
	"wandb": {
		`training_job_gradient_steps_total > 0`, `training_job_loss{training_split="train"}`, `training_group_gradient_steps_total > 0`,
	},
	"runai": {
		`training_job_pods_running > 0`, `training_job_gpu_utilization_ratio > 0`, `training_job_gpu_allocated > 0`, `training_job_cpu_usage > 0`,
		`training_source_events_total{training_event_type="notice", training_event_reason!=""} > 0`,
		`training_source_jobs_ended_total{training_job_result="failure"} > 0`, `training_job_started_timestamp_seconds > 0`,
		`training_source_credential_expiry_timestamp_seconds > 0`,
	},
	"aitems": {
		`training_job_phase{training_job_phase="running"} == 1`, `training_source_jobs_ended_total{training_job_result="success"} > 0`,
		`training_job_created_timestamp_seconds > 0`, `training_source_clock_skew_seconds`,
	},
	"tensorone": {
		`training_job_progress_ratio > 0`, `training_job_loss{training_split="validation"}`, `training_job_cost > 0`,
		`training_job_checkpoint_available > 0`, `training_job_estimated_end_timestamp_seconds > 0`, `training_job_throughput_tokens_per_second > 0`,
		`training_job_gpu_utilization_ratio{training_gpu_index="0"} > 0`, `training_source_request_budget_demand_ratio > 0`,
	},
}

// lacks is what a service does not tell and nobody may invent.
var lacks = map[string][]string{
	"runai":     {"training_job_gradient_steps_total", "training_job_loss", "training_job_progress_ratio"},
	"aitems":    {"training_job_gradient_steps_total", "training_job_loss", "training_job_progress_ratio", "training_job_started_timestamp_seconds"},
	"tensorone": {"training_job_gradient_steps_total"},
	"wandb":     {"training_job_cost", "training_job_gpu_utilization_ratio"},
}

// TestEveryServiceShows runs the demo with its four services and its GPUs, and looks at each in a Prometheus that scrapes, in one that
// is pushed to, and in Jaeger; at what the dashboards ask; and at the alerts that reach an Alertmanager.
func TestEveryServiceShows(t *testing.T) {
	pushed, jaeger, manager := StartPrometheus(t, PrometheusConfig{}), StartJaeger(t), StartAlertmanager(t)
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", pushed.OTLPURL())
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", jaeger.HTTP+"/v1/traces")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "1000")
	demo := StartTrainbridge(t, t.TempDir(), "demo", "--web.listen-address=127.0.0.1:0", "--speed=60", "--seed=3")
	target := demo.WaitFor(t, startTimeout, `http://(127\.0\.0\.1:\d+)/metrics`)[1]
	scraped := StartPrometheus(t, PrometheusConfig{Targets: []string{target}, RuleFiles: shippedRules(t), Alertmanager: manager.Address})
	for source, queries := range knows {
		for _, query := range queries {
			query = only(query, source)
			scraped.Eventually(t, 2*time.Minute, query, Any)
			pushed.Eventually(t, 30*time.Second, query, Any)
		}
		for _, name := range lacks[source] {
			if found := scraped.Query(t, only(name, source)); len(found) > 0 {
				t.Errorf("%s does not tell %s: %v", source, name, found[0])
			}
		}
		checkAJobsTrace(t, scraped, jaeger, source)
	}
	checkGPUs(t, scraped, pushed)
	checkDashboards(t, scraped)
	checkAlerts(t, manager)
	if found := scraped.Query(t, `sum by (training_source, error_type) (training_source_poll_errors_total) > 0`); len(found) > 0 {
		t.Errorf("polls failed: %v", found)
	}
	if log := demo.Log(); slices.ContainsFunc(log, func(line string) bool { return strings.Contains(line, "level=ERROR") }) {
		t.Errorf("the demo logs errors:\n%s", strings.Join(log, "\n"))
	}
}

// gpuQueries are what must come of the demo's GPUs: every trouble of its story, and who has which GPU.
var gpuQueries = []string{
	`count(nvml_gpu_up) == 8`, `nvml_up == 1`, `nvml_gpus_expected == 8`, `nvml_gpus < 8`, `nvml_gpu_xid_errors_total{nvml_xid="79"} > 0`,
	`hw_gpu_utilization_ratio{hw_gpu_task="general"} > 0.9 and on (hw_id) nvml_gpu_sm_utilization_ratio < 0.1`,
	`hw_gpu_utilization_ratio{hw_gpu_task="general"} < 0.05 and on (hw_id) training_gpu_assignment_info == 1`,
	`nvml_gpu_clock_event_active{nvml_clock_event_reason="hw_thermal"} == 1`, `rate(hw_energy_joules_total[15s]) > 50`,
	`training_gpu_assignment_info{training_source="runai"} == 1`, `training_gpu_assignment_info{training_source="tensorone"} == 1`,
	`training_job_phase{training_job_phase="running"} == 1 and on (training_source, training_job_id) training_gpu_assignment_info`,
}

func checkGPUs(t *testing.T, scraped, pushed *Prometheus) {
	t.Helper()
	for _, query := range gpuQueries {
		scraped.Eventually(t, 3*time.Minute, query, Any)
	}
	pushed.Eventually(t, 30*time.Second, `count(nvml_gpu_up) == 8`, Any)
	pushed.Eventually(t, 30*time.Second, `hw_power_watts > 50`, Any)
}

// only narrows a query to one source: every name of a metric in it gets a matcher.
func only(query, source string) string {
	name, rest, _ := strings.Cut(query, " ")
	matcher := fmt.Sprintf("training_source=%q", source)
	if metric, labels, found := strings.Cut(query, "{"); found {
		return metric + "{" + matcher + ", " + labels
	}
	return name + "{" + matcher + "} " + rest
}

// checkAJobsTrace looks at the trace of a job that ended.
func checkAJobsTrace(t *testing.T, p *Prometheus, j *Jaeger, source string) {
	t.Helper()
	ended := fmt.Sprintf(`training_job_info{training_source=%q} and on (training_source, training_job_id) `+
		`(training_job_phase{training_job_phase=~"succeeded|failed"} == 1)`, source)
	info := p.Eventually(t, 2*time.Minute, ended, Any)[0]
	id := string(info.Metric[model.LabelName("training_trace_id")])
	spans := map[string]ptrace.Span{}
	for deadline := time.Now().Add(30 * time.Second); len(spans) == 0 || spans["training_job"].SpanID().IsEmpty(); time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: the trace %s of %v has no root", source, id, info.Metric)
		}
		traces, _ := j.Trace(t, id)
		spans = byName(traces)
	}
	root := spans["training_job"]
	if got, _ := root.Attributes().Get("training.source"); got.AsString() != source || root.ParentSpanID() != (pcommon.SpanID{}) {
		t.Errorf("%s: the root is %v", source, root.Attributes().AsRaw())
	}
	if len(spans) < 2 {
		t.Errorf("%s: the trace of job %s has nothing but its root", source, info.Metric["training_job_id"])
	}
}

func byName(traces ptrace.Traces) map[string]ptrace.Span {
	spans := map[string]ptrace.Span{}
	for _, r := range traces.ResourceSpans().All() {
		for _, s := range r.ScopeSpans().All() {
			for _, span := range s.Spans().All() {
				spans[span.Name()] = span
			}
		}
	}
	return spans
}
