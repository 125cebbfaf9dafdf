package e2e

import (
	"fmt"
	"math"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// steps is what Prometheus holds for every job that still has series, and in all.
const (
	stepsOfSource = `training_source_events_total{training_event_type="gradient_step"}`
	stepsOfJobs   = `training_job_gradient_steps_total`
)

func equals(want float64) func(model.Vector) bool {
	return func(v model.Vector) bool { return len(v) == 1 && float64(v[0].Value) == want }
}

// TestStepsEqualTheTruth has a real Prometheus scrape the bridge in each of its formats and asks it for what the service
// knows to be true.
func TestStepsEqualTheTruth(t *testing.T) {
	for name, config := range map[string]PrometheusConfig{
		"as Prometheus asks": {},
		"text":               {Protocols: []string{"PrometheusText0.0.4"}},
		"openmetrics":        {Protocols: []string{"OpenMetricsText1.0.0"}},
		"protobuf":           {Protocols: []string{"PrometheusProto"}, NativeHistograms: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := StartBridge(t, BridgeConfig{Scenario: "fleet"})
			config.Targets = []string{b.Target}
			p := StartPrometheus(t, config)
			b.Train(t, 0, 20*time.Minute, 20*time.Second)
			truth := b.Service.Truth()
			p.Eventually(t, 30*time.Second, stepsOfSource, equals(float64(truth.Steps)))
			checkJobs(t, p, truth)
			checkHistogram(t, p, config.NativeHistograms)
			if n := b.Service.Counters().Violations(); n != 0 {
				t.Errorf("the bridge broke the service's rules %d times: %+v", n, b.Service.Counters())
			}
		})
	}
}

func checkJobs(t *testing.T, p *Prometheus, truth wandbtest.Truth) {
	t.Helper()
	p.Eventually(t, 15*time.Second, "sum("+stepsOfJobs+")", equals(float64(truth.Steps)))
	shown := map[string]float64{}
	for _, s := range p.Query(t, stepsOfJobs) {
		shown[string(s.Metric["training_job_id"])] = float64(s.Value)
	}
	nonfinite := map[string]float64{}
	for _, s := range p.Query(t, `sum by (training_job_id) (training_job_nonfinite_values_total)`) {
		nonfinite[string(s.Metric["training_job_id"])] = float64(s.Value)
	}
	phases := map[string]string{}
	for _, s := range p.Query(t, `training_job_phase == 1`) {
		phases[string(s.Metric["training_job_id"])] = string(s.Metric["training_job_phase"])
	}
	words := map[wandbtest.Result]string{
		wandbtest.Queued: "pending", wandbtest.Running: "running", wandbtest.Success: "succeeded", wandbtest.Failure: "failed",
	}
	for id, job := range truth.Jobs {
		if shown[id] != float64(job.Steps) || phases[id] != words[job.Result] || nonfinite[id] != float64(job.Nonfinite) {
			t.Errorf("job %s: %v steps, phase %s, %v non-finite; in truth %d, %s, %d",
				id, shown[id], phases[id], nonfinite[id], job.Steps, job.Result, job.Nonfinite)
		}
	}
	for _, s := range p.Query(t, `training_job_loss == 0`) {
		t.Errorf("a loss of 0 that no job reported: %v", s)
	}
}

// checkHistogram asks for step times as classic or native buckets, and for the exemplars that lead into traces.
func checkHistogram(t *testing.T, p *Prometheus, native bool) {
	t.Helper()
	query := `histogram_quantile(0.5, sum by (le) (training_job_step_duration_seconds_bucket))`
	if native {
		query = `histogram_quantile(0.5, sum(training_job_step_duration_seconds))`
	}
	median := p.Query(t, query)
	if len(median) != 1 || math.IsNaN(float64(median[0].Value)) || median[0].Value <= 0 {
		t.Errorf("%s answers %v", query, median)
	}
	if count := p.Query(t, `count(histogram_count(training_job_step_duration_seconds))`); native && len(count) == 0 {
		t.Error("no native histogram was scraped")
	}
}

// TestExemplarsLeadIntoTraces asks Prometheus for the exemplars of step times: their trace is that of the job.
func TestExemplarsLeadIntoTraces(t *testing.T) {
	r := StartReceiver(t)
	b := StartBridge(t, BridgeConfig{Scenario: "healthy", OTLP: fmt.Sprintf(`{endpoint: "%s"}`, r.HTTP)})
	p := StartPrometheus(t, PrometheusConfig{Targets: []string{b.Target}})
	b.Train(t, 0, 4*time.Minute, 10*time.Second)
	p.Scraped(t, 3, 30*time.Second)
	answer, err := p.API.QueryExemplars(t.Context(), "training_job_step_duration_seconds_bucket", time.Now().Add(-time.Hour), time.Now())
	if err != nil || len(answer) == 0 {
		t.Fatalf("no exemplars: %v, %v", answer, err)
	}
	spans := map[string]bool{}
	for _, s := range r.Spans() {
		spans[s.TraceID().String()+s.SpanID().String()] = true
	}
	for _, series := range answer {
		trace := traceID(t, b, string(series.SeriesLabels["training_job_id"]))
		for _, e := range series.Exemplars {
			if got := string(e.Labels["trace_id"]); got != trace || !spans[got+string(e.Labels["span_id"])] {
				t.Errorf("exemplar %v of a job with trace %s leads to no span that was sent", e.Labels, trace)
			}
		}
	}
}

func traceID(t *testing.T, b *Bridge, job string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), Trainbridge(t), "trace-id", "rl-team", job).Output()
	if err != nil {
		t.Fatalf("trace-id: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// TestAFailureShowsInTime measures the figure that people care about: from the service's event to the changed series.
func TestAFailureShowsInTime(t *testing.T) {
	b := StartBridge(t, BridgeConfig{Scenario: "healthy"})
	p := StartPrometheus(t, PrometheusConfig{Targets: []string{b.Target}, Interval: 200 * time.Millisecond})
	b.Train(t, 0, time.Minute, 20*time.Second)
	var id string
	for _, j := range b.Fleet.Jobs() {
		if j.Kind == wandbtest.SFT {
			id = j.ID
		}
	}
	b.Service.Append(id, wandbtest.Failed("CUDA out of memory"))
	began := time.Now()
	p.Eventually(t, 10*time.Second, fmt.Sprintf(`training_job_phase{training_job_id=%q,training_job_phase="failed"} == 1`, id), Any)
	// One poll interval of 200 ms, one scrape of 200 ms and a second.
	if took := time.Since(began); took > 1400*time.Millisecond {
		t.Errorf("the failure showed after %v", took)
	}
	p.Eventually(t, 5*time.Second, `training_source_jobs_ended_total{training_job_result="failure",error_type="out_of_memory"} == 1`, Any)
}

// TestScrapeAndPushAgree has one Prometheus take the same bridge by scrape and by OTLP, and compares all series.
func TestScrapeAndPushAgree(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			receiver := StartPrometheus(t, PrometheusConfig{})
			otlp := fmt.Sprintf(`{interval: 1s, metrics: {endpoint: "%s"}, traces: {enabled: false}}`, receiver.OTLPURL())
			if protocol == "grpc" {
				r := StartReceiver(t)
				b := StartBridge(t, BridgeConfig{OTLP: fmt.Sprintf(`{interval: 1s, protocol: grpc, endpoint: "http://%s"}`, r.GRPC)})
				b.Train(t, 0, 2*time.Minute, 20*time.Second)
				time.Sleep(2 * time.Second)
				checkGRPC(t, r)
				return
			}
			b := StartBridge(t, BridgeConfig{OTLP: otlp})
			p := StartPrometheus(t, PrometheusConfig{Targets: []string{b.Target}})
			b.Train(t, 0, 10*time.Minute, 20*time.Second)
			want := float64(b.Service.Truth().Steps)
			p.Eventually(t, 30*time.Second, stepsOfSource, equals(want))
			receiver.Eventually(t, 30*time.Second, stepsOfSource, equals(want))
			time.Sleep(3 * time.Second)
			compareSeries(t, series(t, p), series(t, receiver))
		})
	}
}

func checkGRPC(t *testing.T, r *Receiver) {
	t.Helper()
	families := r.Families()
	for _, name := range []string{"training.job.gradient_steps", "training.job.phase", "training.source.up"} {
		if len(families[name]) == 0 {
			t.Errorf("%s did not come by gRPC", name)
		}
	}
	if len(r.Spans()) == 0 {
		t.Error("no spans came by gRPC")
	}
}

// moving are series whose value depends on the moment they are read.
var moving = regexp.MustCompile(`^training_source_(polls_total|poll_duration|last_poll|last_success|requests_total|event_lag|request_budget|events_read|events_duplicate|clock_skew)`)

func series(t *testing.T, p *Prometheus) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for _, s := range p.Query(t, `{__name__=~"training_.+"}`) {
		if name := string(s.Metric["__name__"]); moving.MatchString(name) {
			continue
		}
		labels := s.Metric.Clone()
		delete(labels, "job")
		delete(labels, "instance")
		if le, err := strconv.ParseFloat(string(labels["le"]), 64); err == nil {
			// Prometheus itself writes the bound 16 as 16.0 when it scrapes it and as 16 when it takes it by OTLP.
			labels["le"] = model.LabelValue(strconv.FormatFloat(le, 'g', -1, 64))
		}
		all[labels.String()] = float64(s.Value)
	}
	return all
}

func compareSeries(t *testing.T, scraped, pushed map[string]float64) {
	t.Helper()
	if len(scraped) < 200 {
		t.Errorf("only %d series were scraped", len(scraped))
	}
	for name, v := range scraped {
		other, ok := pushed[name]
		switch {
		case !ok:
			t.Errorf("%s came by scrape only", name)
		case v != other && !(math.IsNaN(v) && math.IsNaN(other)):
			t.Errorf("%s is %v by scrape and %v by OTLP", name, v, other)
		}
	}
	for name := range pushed {
		if _, ok := scraped[name]; !ok {
			t.Errorf("%s came by OTLP only", name)
		}
	}
}

// TestTracesHaveTheirShape reads the traces of jobs that ended from a real receiver and a real trace store.
func TestTracesHaveTheirShape(t *testing.T) {
	j := StartJaeger(t)
	b := StartBridge(t, BridgeConfig{Scenario: "failures", OTLP: fmt.Sprintf(`{endpoint: "%s", metrics: {enabled: false}}`, j.HTTP)})
	b.Train(t, 0, 20*time.Minute, 20*time.Second)
	checked := map[wandbtest.Result]int{}
	for id, job := range b.Service.Truth().Jobs {
		if job.Result != wandbtest.Success && job.Result != wandbtest.Failure || checked[job.Result] >= 3 {
			continue
		}
		checked[job.Result]++
		trace := j.EventuallyTrace(t, 20*time.Second, traceID(t, b, id), 3)
		checkTrace(t, trace, id, job)
	}
	if checked[wandbtest.Failure] == 0 {
		t.Error("no failed job was checked")
	}
}

func checkTrace(t *testing.T, traces ptrace.Traces, id string, job wandbtest.JobTruth) {
	t.Helper()
	byName := map[string][]ptrace.Span{}
	ids := map[string]bool{}
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				byName[s.Name()] = append(byName[s.Name()], s)
				ids[s.SpanID().String()] = true
			}
		}
	}
	roots := byName["training_job"]
	if len(roots) != 1 || !roots[0].ParentSpanID().IsEmpty() {
		t.Fatalf("job %s has %d roots", id, len(roots))
	}
	steps := int64(len(byName["gradient_step"]))
	for _, s := range byName["gradient_steps"] { // what had happened before the job was listed
		n, _ := s.Attributes().Get("training.job.steps")
		steps += n.Int()
	}
	if steps != int64(job.Steps) {
		t.Errorf("job %s: its spans stand for %d steps, %d happened", id, steps, job.Steps)
	}
	if len(byName["training_started"]) != 1 || len(byName["running"]) > 1 {
		t.Errorf("job %s: %d markers, %d running phases", id, len(byName["training_started"]), len(byName["running"]))
	}
	failed := job.Result == wandbtest.Failure
	if got := roots[0].Status().Code() == ptrace.StatusCodeError; got != failed || failed != (len(byName["training_failed"]) == 1) {
		t.Errorf("job %s failed: %v, its root says %v", id, failed, roots[0].Status().Code())
	}
	if failed && job.HasMessage && !strings.Contains(roots[0].Status().Message(), job.Message) {
		t.Errorf("job %s: the root says %q, the service %q", id, roots[0].Status().Message(), job.Message)
	}
	for name, spans := range byName {
		for _, s := range spans {
			inside := s.StartTimestamp() >= roots[0].StartTimestamp() && s.EndTimestamp() <= roots[0].EndTimestamp()+1 // Jaeger makes a span of no length 1 ns long
			if name != "training_job" && (!ids[s.ParentSpanID().String()] || !inside) {
				t.Errorf("job %s: span %s from %v to %v, parent known %v, is outside of its trace from %v to %v", id, name, s.StartTimestamp().AsTime(), s.EndTimestamp().AsTime(), ids[s.ParentSpanID().String()], roots[0].StartTimestamp().AsTime(), roots[0].EndTimestamp().AsTime())
			}
		}
	}
}

// TestTheDemoShowsWhatItSays runs the demo as a newcomer does and has a real Prometheus scrape it.
func TestTheDemoShowsWhatItSays(t *testing.T) {
	demo := StartTrainbridge(t, t.TempDir(), "demo", "--web.listen-address=127.0.0.1:0", "--speed=60", "--seed=3")
	target := demo.WaitFor(t, startTimeout, `http://(127\.0\.0\.1:\d+)/metrics`)[1]
	p := StartPrometheus(t, PrometheusConfig{Targets: []string{target}})
	for _, query := range []string{
		`count(training_job_phase{training_job_phase="failed"} == 1) >= 2`,
		`training_job_nonfinite_values_total > 0`,
		`training_group_gradient_steps_total > 0`,
		`training_source_up == 1`,
		`training_source_jobs_ended_total{training_job_result="success"} > 0`,
	} {
		p.Eventually(t, 90*time.Second, query, Any)
	}
	answer, err := http.Get("http://" + target + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	Promtool(t, answer.Body, "check", "metrics")
	if log := demo.Log(); slices.ContainsFunc(log, func(line string) bool { return strings.Contains(line, "level=ERROR") }) {
		t.Errorf("the demo logs errors:\n%s", strings.Join(log, "\n"))
	}
}
