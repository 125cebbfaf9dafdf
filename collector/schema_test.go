package collector

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func checkRows[T Entity](t *testing.T, rows []Row[T], seen map[string]bool) {
	t.Helper()
	name := regexp.MustCompile(`^(training_(job|group|source|gpu)|hw|nvml)_[a-z_]+$`)
	reserved := []string{"job", "instance", "type", "env", "cluster", "region", "zone", "service", "owner"}
	for _, r := range rows {
		if seen[r.Prom] || seen[r.Name] {
			t.Errorf("%s stands twice", r.Name)
		}
		seen[r.Prom], seen[r.Name] = true, true
		if !name.MatchString(r.Prom) || r.Prom != promName(r.Name, r.Unit, r.Kind) {
			t.Errorf("%s is called %s", r.Name, r.Prom)
		}
		if !strings.HasSuffix(r.Help, ".") || r.read == nil {
			t.Errorf("%s: help %q", r.Name, r.Help)
		}
		if strings.HasSuffix(r.Prom, "_total") != (r.Kind == Counter) {
			t.Errorf("%s: only counters end in _total", r.Prom)
		}
		if (r.Kind == Distribution) != (len(r.Bounds) > 0) {
			t.Errorf("%s: bounds %v", r.Prom, r.Bounds)
		}
		for _, label := range r.Labels {
			if slices.Contains(reserved, PromLabel(label)) {
				t.Errorf("%s: label %s is reserved", r.Prom, label)
			}
		}
	}
}

func TestRowsKeepTheRules(t *testing.T) {
	seen := map[string]bool{}
	checkRows(t, JobRows(), seen)
	checkRows(t, GroupRows(), seen)
	checkRows(t, SourceRows(), seen)
	checkRows(t, GPURows(), seen)
	checkRows(t, GPUHostRows(), seen)
}

// TestEveryGPUMetricHasARow: a value that no row exposes would be lost.
func TestEveryGPUMetricHasARow(t *testing.T) {
	for m := NoGPUMetric + 1; m < lastGPUMetric; m++ {
		g := &GPU{Up: true, Values: []GPUValue{{Metric: m - 1, Value: 1}, {Metric: m, Label: JoinLabels("a", "b"), Value: 42}, {Metric: m + 1, Value: 1}}}
		var p Points
		found := 0
		for _, r := range GPURows() {
			p.Reset()
			r.Read(g, &p)
			if p.Len() == 1 && p.Value(0) == 42 {
				found++
				if len(p.Labels(0)) != len(r.Labels) {
					t.Errorf("%s has labels %v", r.Prom, p.Labels(0))
				}
			}
		}
		if found != 1 {
			t.Errorf("metric %d is exposed by %d rows", m, found)
		}
	}
}

// TestWhatStaysOfAGPUThatDoesNotAnswer: counters and who it is remain true, the rest would be a lie.
func TestWhatStaysOfAGPUThatDoesNotAnswer(t *testing.T) {
	g := &GPU{
		Values: []GPUValue{{Metric: DevicePower, Value: 600}, {Metric: DeviceEnergy, Value: 7}, {Metric: DeviceXIDErrors, Label: "79", Value: 1}},
		Jobs:   []Key{{"cloud", "a"}}, Since: 1,
	}
	got := map[string]bool{}
	var p Points
	for _, r := range GPURows() {
		p.Reset()
		if r.Read(g, &p); p.Len() > 0 {
			got[r.Prom] = true
		}
	}
	want := []string{
		"nvml_gpu_info", "nvml_gpu_up", "hw_status", "nvml_gpu_accounting_resets_total", "hw_energy_joules_total", "nvml_gpu_xid_errors_total",
		"training_gpu_assignment_info",
	}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%s is absent", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("there is %v, want %v", got, want)
	}
}

// TestEveryMetricHasARow: a reading that no row exposes would be lost.
func TestEveryMetricHasARow(t *testing.T) {
	for m := NoMetric + 1; m <= JobPod; m++ {
		j := &Job{Info: &Info{}, Readings: []Reading{{Metric: m, Label: JoinLabels("a", "b"), Value: 42}}}
		var p Points
		found := 0
		for _, r := range JobRows() {
			p.Reset()
			r.Read(j, &p)
			if p.Len() == 1 && p.Value(0) == 42 {
				found++
				if len(p.Labels(0)) != len(r.Labels) {
					t.Errorf("%s has labels %v", r.Prom, p.Labels(0))
				}
			}
		}
		if found != 1 {
			t.Errorf("metric %d is exposed by %d rows", m, found)
		}
	}
}

func TestLiveRowsLeaveAtTheEnd(t *testing.T) {
	j := &Job{Info: &Info{}, Phase: Running, Readings: []Reading{
		{Metric: Loss, Label: "train", Value: 1}, {Metric: LearningRate, Value: 2},
	}}
	names := func() (got []string) {
		var p Points
		for _, r := range JobRows() {
			p.Reset()
			if r.Read(j, &p); p.Len() > 0 {
				got = append(got, r.Prom)
			}
		}
		return got
	}
	if !slices.Contains(names(), "training_job_learning_rate") {
		t.Error("a running job shows no learning rate")
	}
	j.Phase = Succeeded
	if got := names(); slices.Contains(got, "training_job_learning_rate") || !slices.Contains(got, "training_job_loss") {
		t.Errorf("an ended job shows %v", got)
	}
}

func TestAWithdrawnValueIsAbsent(t *testing.T) {
	j := &Job{Info: &Info{}, Phase: Running, Readings: []Reading{{Metric: Loss, Label: "train", Null: true}}}
	var p Points
	for _, r := range JobRows() {
		if r.Name == "training.job.loss" {
			r.Read(j, &p)
		}
	}
	if p.Len() != 0 {
		t.Errorf("a withdrawn loss is shown as %v", p.Value(0))
	}
}

func TestAllResultsStartAtZero(t *testing.T) {
	var p Points
	readEnded(&SourceView{Name: "s"}, &p)
	if p.Len() != 4+len(FailureClasses()) {
		t.Errorf("%d series", p.Len())
	}
	for i := range p.Len() {
		if p.Value(i) != 0 {
			t.Errorf("%v is %v", p.Labels(i), p.Value(i))
		}
	}
}

func TestFailureClasses(t *testing.T) {
	for message, want := range map[string]string{
		"":   "unspecified",
		"  ": "unspecified",
		"CUDA out of memory. Tried to allocate 2 GiB": "out_of_memory",
		"loss is NaN at step 40":                      "diverged",
		"financial data missing":                      "_OTHER",
		"NCCL watchdog timeout":                       "timeout",
		"node was preempted":                          "preempted",
		"Xid 79: GPU has fallen off the bus":          "hardware",
		"something else":                              "_OTHER",
	} {
		if got := FailureClass(message); got != want {
			t.Errorf("%q is %s, want %s", message, got, want)
		}
	}
}

func TestCleanMakesTextSafe(t *testing.T) {
	for in, want := range map[string]string{
		"voice-agent": "voice-agent",
		"a\x00b\nc\x1b[31m" + string(rune(0x202e)): "abc[31m",
		"bad \xff utf8":           "bad \uFFFD utf8",
		strings.Repeat("ä", 300):  strings.Repeat("ä", 128),
		"日本語":                     "日本語",
		strings.Repeat("x", 1000): strings.Repeat("x", 128),
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q", in, got)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x00\xff")
	f.Fuzz(func(t *testing.T, in string) {
		if out := Clean(in); Clean(out) != out || len([]rune(out)) > maxRunes {
			t.Errorf("Clean(%q) = %q is not clean", in, out)
		}
	})
}
