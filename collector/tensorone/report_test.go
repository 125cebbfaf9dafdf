package tensorone

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// documented is the sample of the documentation.
const documented = `{
  "jobId": "job_train_abc123", "name": "Llama-2-7B Fine-tuning", "status": "running",
  "progress": {"currentEpoch": 2, "totalEpochs": 3, "currentStep": 450, "totalSteps": 600, "percentComplete": 75.0, "estimatedTimeRemaining": "32m"},
  "metrics": {"loss": 0.8234, "accuracy": 0.847, "validationLoss": 0.9123, "validationAccuracy": 0.821, "learningRate": 0.00008,
    "throughput": {"samplesPerSecond": 45.2, "tokensPerSecond": 2048, "stepTime": 1.8}},
  "resourceUsage": {"gpuUtilization": [98.5, 97.8], "memoryUsage": {"gpuMemory": [38.2, 37.9], "systemMemory": 45.6}, "storageUsage": 127.3},
  "configuration": {"framework": "huggingface", "modelConfig": {"modelType": "language_model", "baseModel": "llama-2-7b-hf"},
    "hyperparameters": {"learningRate": 0.0001, "batchSize": 16, "epochs": 3, "optimizer": "adamw"},
    "infrastructure": {"gpuType": "a100-40gb", "gpuCount": 2, "memory": "64GB"}},
  "checkpoints": [{"checkpointId": "ckpt_epoch_1", "epoch": 1, "step": 600, "metrics": {"loss": 1.234, "validationLoss": 1.345}, "size": "2.3GB",
    "createdAt": "2024-01-15T16:30:00Z"}],
  "costs": {"currentCost": 18.75, "estimatedTotalCost": 25.00, "costBreakdown": {"gpuCost": 16.25, "storageCost": 2.50}},
  "timestamps": {"createdAt": "2024-01-15T14:30:00Z", "startedAt": "2024-01-15T15:15:00Z", "lastUpdated": "2024-01-15T17:45:00Z"}
}`

func TestTheDocumentedJob(t *testing.T) {
	for name, body := range map[string]string{
		"as it is":       documented,
		"in exponents":   strings.NewReplacer("0.00008", "8e-05", "127.3", "1.273e2").Replace(documented),
		"texts":          strings.NewReplacer("450,", `"450",`, "0.8234", `"0.8234"`, "[98.5, 97.8]", `["98.5", "97.8"]`, "18.75", `"18.75"`).Replace(documented),
		"written twice":  documented[:len(documented)-2] + "," + documented[1:],
		"sizes as texts": strings.NewReplacer("[38.2, 37.9]", `["38.2 GB", "37.9GB"]`, "45.6}", `"45.6GB"}`).Replace(documented),
		"size an object": strings.Replace(documented, `"2.3GB"`, `{"parameters":7,"bytes":2300000000}`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, body, nil)
			u := collector.Update{Key: collector.Key{Source: "test", ID: r.id}, At: collector.TimeOf(time.Now()), Polled: true, Info: r.info}
			first := collector.Reduce(nil, collector.Update{Key: u.Key, At: u.At}, collector.ReduceOptions{}).Job
			r.tellPhase(first, &u)
			u.Readings = r.current(first, &u)
			tellCheckpoints(first, r, amount{}, &u)
			checkDocumented(t, collector.Reduce(first, u, collector.ReduceOptions{}).Job)
			if len(r.odd) > 0 {
				t.Errorf("not understood: %v", r.odd)
			}
		})
	}
}

func checkDocumented(t *testing.T, j *collector.Job) {
	t.Helper()
	for _, w := range []struct {
		metric collector.Metric
		label  string
		value  float64
	}{
		{collector.Epoch, "", 2}, {collector.EpochLimit, "", 3}, {collector.Step, "", 450}, {collector.StepLimit, "", 600}, {collector.Progress, "", 0.75},
		{collector.EstimatedEnd, "", 1705340700 + 32*60}, {collector.Loss, "train", 0.8234}, {collector.Accuracy, "train", 0.847},
		{collector.Loss, "validation", 0.9123}, {collector.Accuracy, "validation", 0.821}, {collector.LearningRate, "", 8e-5},
		{collector.SamplesPerSecond, "", 45.2}, {collector.TokensPerSecond, "", 2048}, {collector.LastStepDuration, "", 1.8},
		{collector.GPUUtilization, "0", 0.985}, {collector.GPUMemoryUsage, "1", 37.9e9}, {collector.MemoryUsage, "", 45.6e9},
		{collector.StorageUsage, "", 127.3e9}, {collector.GPURequested, "", 2}, {collector.Cost, "USD", 18.75}, {collector.CostEstimated, "USD", 25},
		{collector.CostComponent, collector.JoinLabels("USD", "gpu"), 16.25}, {collector.CostComponent, collector.JoinLabels("USD", "storage"), 2.5},
		{collector.CheckpointAvailable, "", 1}, {collector.CheckpointLastStep, "", 600}, {collector.CheckpointLastSize, "", 2.3e9},
		{collector.CheckpointLastCreated, "", 1705336200},
	} {
		want(t, j, w.metric, w.label, &w.value)
	}
	want(t, j, collector.CheckpointInterval, "", nil)
	i := j.Info
	if i.Name != "Llama-2-7B Fine-tuning" || i.Framework != "huggingface" || i.BaseModel != "llama-2-7b-hf" || i.Kind != "language_model" || i.GPUModel != "a100-40gb" {
		t.Errorf("info %+v", i)
	}
	started := collector.TimeOf(time.Date(2024, 1, 15, 15, 15, 0, 0, time.UTC))
	if j.Phase != collector.Running || j.Status != "running" || j.Started != started || j.Since != started {
		t.Errorf("phase %s since %v, started %v", j.Phase, j.Since.Std(), j.Started.Std())
	}
	if j.Steps != 0 {
		t.Errorf("%d gradient steps were made up", j.Steps)
	}
}

func TestUnitsAreSettings(t *testing.T) {
	body := `{"jobId":"x","progress":{"percentComplete":0.75,"estimatedTimeRemaining":2},
		"metrics":{"accuracy":84,"throughput":{"stepTime":1800}},
		"resourceUsage":{"gpuUtilization":[0.5],"memoryUsage":{"gpuMemory":[2],"systemMemory":60},"storageUsage":3},
		"checkpoints":[{"checkpointId":"c","size":2},{"checkpointId":"d","size":"2GB"}],"costs":{"currentCost":1}}`
	r := read(t, body, func(u *Units) {
		*u = Units{
			Progress: ratio, Accuracy: percent, GPUUtilization: ratio, GPUMemory: "GiB", SystemMemory: off, Storage: "TB", CheckpointSize: "MiB",
			TextSizes: binary, StepTime: "milliseconds", Durations: "minutes", Currency: "EUR",
		}
		if err := u.check(); err != nil {
			t.Fatal(err)
		}
	})
	for _, w := range []collector.Reading{
		{Metric: collector.Progress, Value: 0.75}, {Metric: collector.Accuracy, Label: "train", Value: 0.84}, {Metric: collector.LastStepDuration, Value: 1.8},
		{Metric: collector.GPUUtilization, Label: "0", Value: 0.5}, {Metric: collector.GPUMemoryUsage, Label: "0", Value: 2 << 30},
		{Metric: collector.StorageUsage, Value: 3e12}, {Metric: collector.Cost, Label: "EUR", Value: 1},
	} {
		if !slices.Contains(r.readings, w) {
			t.Errorf("no reading %+v in %+v", w, r.readings)
		}
	}
	if slices.ContainsFunc(r.readings, func(r collector.Reading) bool { return r.Metric == collector.MemoryUsage }) || len(r.odd) > 0 {
		t.Errorf("system memory that is off: %+v, %v", r.readings, r.odd)
	}
	if r.remaining != 2*time.Minute || r.checkpoints[0].size.value != 2<<20 || r.checkpoints[1].size.value != 2<<30 {
		t.Errorf("remaining %v, checkpoints %+v", r.remaining, r.checkpoints)
	}
	if r := read(t, `{"jobId":"x","costs":{"currentCost":1,"currency":"KRW"}}`, nil); r.readings[0].Label != "KRW" {
		t.Errorf("the answer's own currency is not used: %+v", r.readings)
	}
}

// TestOddParts: what cannot be understood leaves no value, is named, and costs nothing else.
func TestOddParts(t *testing.T) {
	for body, odd := range map[string]string{
		`"progress":null,"metrics":null,"resourceUsage":null,"checkpoints":null,"costs":null,"timestamps":null,"configuration":null,"error":null`: "",
		`"progress":{},"metrics":{},"resourceUsage":{},"checkpoints":[],"costs":{},"timestamps":{}`:                                               "",
		`"progress":"75%"`: "progress", `"progress":[1]`: "progress", `"progress":{"percentComplete":101}`: "progress.percentComplete",
		`"progress":{"percentComplete":-1}`:   "progress.percentComplete",
		`"progress":{"percentComplete":null}`: "", `"progress":{"currentStep":"many"}`: "progress.currentStep",
		`"progress":{"currentStep":-3}`: "progress.currentStep", `"progress":{"currentEpoch":true}`: "progress.currentEpoch",
		`"progress":{"estimatedTimeRemaining":"soon"}`: "progress.estimatedTimeRemaining", `"progress":{"estimatedTimeRemaining":""}`: "",
		`"progress":{"estimatedTimeRemaining":null}`: "", `"progress":{"estimatedTimeRemaining":{"a":1}}`: "progress.estimatedTimeRemaining",
		`"metrics":{"loss":"low"}`: "metrics.loss", `"metrics":{"loss":[1]}`: "metrics.loss", `"metrics":{"loss":true}`: "metrics.loss", `"metrics":{"loss":""}`: "",
		`"metrics":{"accuracy":84}`: "metrics.accuracy", `"metrics":{"throughput":7}`: "metrics.throughput",
		`"metrics":{"throughput":{"stepTime":-1}}`: "metrics.throughput.stepTime", `"metrics":{"throughput":{"stepTime":NaN}}`: "metrics.throughput.stepTime",
		`"resourceUsage":{"gpuUtilization":[150]}`: "resourceUsage.gpuUtilization", `"resourceUsage":{"gpuUtilization":[null]}`: "",
		`"resourceUsage":{"gpuUtilization":{}}`:               "resourceUsage.gpuUtilization",
		`"resourceUsage":{"memoryUsage":{"gpuMemory":["?"]}}`: "resourceUsage.memoryUsage.gpuMemory",
		`"resourceUsage":{"memoryUsage":45}`:                  "resourceUsage.memoryUsage", `"resourceUsage":{"storageUsage":-1}`: "resourceUsage.storageUsage",
		`"checkpoints":{"a":1}`: "checkpoints", `"checkpoints":[{"checkpointId":"a","size":"big"}]`: "checkpoints.size",
		`"checkpoints":[{"checkpointId":"a","createdAt":"then"}]`: "checkpoints.createdAt", `"checkpoints":[{"step":5}]`: "checkpoints.checkpointId",
		`"costs":{"currentCost":"$1"}`: "costs.currentCost", `"costs":{"costBreakdown":7}`: "costs.costBreakdown",
		`"timestamps":{"createdAt":"yesterday"}`: "timestamps.createdAt", `"status":{"a":1}`: "status", `"status":null`: "", `"error":7.5`: "",
	} {
		r := read(t, `{"jobId":"x",`+body+`}`, nil)
		if got := strings.Join(r.odd, " "); got != odd {
			t.Errorf("%s: not understood: %q, want %q", body, got, odd)
		}
		if odd != "" && len(r.readings) > 0 {
			t.Errorf("%s: readings %+v", body, r.readings)
		}
	}
	for _, body := range []string{`{}`, `{"jobId":null}`, `{"jobId":""}`, `[]`, `null`, `7`, `{"jobId":"x"`, `{"error":"INTERNAL_ERROR","message":"m"}`} {
		if _, err := readText(body, nil); err == nil {
			t.Errorf("%s is taken for a job", body)
		}
	}
}

func TestFreeFormNumbers(t *testing.T) {
	r := read(t, `{"jobId":"x","metrics":{"perplexity":7.5,"reward":{"mean":-1,"deep":{"er":{"too":{"deep":1}}}},"note":"text","flag":true,
		"list":[1,2],"nan":NaN,"none":null,"throughput":{"batchesPerSecond":3},"8e-05":"8e-05"}}`, nil)
	got := map[string]collector.Reading{}
	for _, rd := range r.readings {
		got[rd.Label] = rd
	}
	for label, value := range map[string]float64{"perplexity": 7.5, "reward/mean": -1, "throughput/batchesPerSecond": 3, "8e-05": 8e-5} {
		if rd, ok := got[label]; !ok || rd.Value != value || rd.Metric != collector.FreeForm {
			t.Errorf("%s is %+v", label, got[label])
		}
	}
	if !math.IsNaN(got["nan"].Value) || !got["none"].Null || len(got) != 6 {
		t.Errorf("readings %+v", got)
	}
}

func FuzzReport(f *testing.F) {
	f.Add(documented)
	f.Add(`{"jobId":"x","checkpoints":[null,{},{"step":1},7,"x",[]]}`)
	f.Add(`{"jobId":1,"metrics":{"loss":NaN,"a":{"b":{"c":{"d":1}}}},"progress":{"estimatedTimeRemaining":-5}}`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := readText(body, nil)
		if err != nil {
			return
		}
		j := collector.Reduce(nil, collector.Update{Key: collector.Key{Source: "s", ID: "x"}, At: 1}, collector.ReduceOptions{}).Job
		for range 3 {
			u := collector.Update{Key: j.Key, At: collector.TimeOf(time.Unix(1.8e9, 0)), Polled: true, Info: r.info}
			r.tellPhase(j, &u)
			u.Readings = r.current(j, &u)
			tellCheckpoints(j, r, amount{}, &u)
			for _, rd := range u.Readings {
				if rd.Metric != collector.Loss && rd.Metric != collector.FreeForm && rd.Metric != collector.LearningRate && rd.Metric != collector.Accuracy &&
					(math.IsNaN(rd.Value) || math.IsInf(rd.Value, 0)) {
					t.Errorf("%+v is not finite", rd)
				}
			}
			j = collector.Reduce(j, u, collector.ReduceOptions{Spans: true}).Job
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add(`{"jobs":[` + documented + `],"total":1}`)
	f.Add(`[{"jobId":"a"},null,7,{"id":"../b"}]`)
	f.Add(`{"jobs":null,"totalCount":"3"}`)
	f.Fuzz(func(t *testing.T, body string) {
		units := Units{}.withDefaults()
		var p listPage
		err := api.Decode(strings.NewReader(body), api.Limits{Bytes: 1 << 20, Items: 2000, Depth: 32, StringBytes: 64 << 10}, func(d *api.Decoder) error {
			p = listPage{}
			return p.read(d, &units)
		})
		if err == nil && !p.found {
			t.Error("a listing without a list")
		}
		for _, r := range p.jobs {
			if err == nil && checkID(r.id) != nil {
				t.Errorf("id %q", r.id)
			}
		}
	})
}
