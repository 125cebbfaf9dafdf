package program

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector/nvml/nvmltest"
	"github.com/trainbridge/trainbridge/collector/wandb/wandbtest"
)

// scenario is a story of the demo. Those of the simulated services and GPUs are played by them; the others are an act of their own
// beside GPUs and jobs that are all well.
type scenario struct {
	name, description string
	// alerts are what the scenario is there to fire. The description says how long it takes where that is more than minutes.
	alerts []string
	// config is what stands otherwise in the configuration from the start: a text, what takes its place, the next text.
	config []string
	// act brings the fault, and goes on until the demo ends where it must.
	act   func(context.Context, *demoWorld) error
	after time.Duration // act begins this long after the start
	// restart says that only another start of the bridge ends the fault.
	restart bool
	lasts   time.Duration // how long a rehearsal leaves the fault, so that all alerts fire
	clears  time.Duration // how long its alerts go on after that, if that is more than two hours
}

// soon is long enough to look at what is well first.
const soon = 20 * time.Second

func scenarios() []scenario {
	var all []scenario
	add := func(s scenario) {
		if !slices.ContainsFunc(all, func(o scenario) bool { return o.name == s.name }) {
			all = append(all, s)
		}
	}
	told := toldAlerts()
	for _, s := range wandbtest.Scenarios() {
		add(scenario{name: s.Name, description: s.Description, alerts: told[s.Name]})
	}
	for _, s := range nvmltest.Scenarios() {
		add(scenario{name: s.Name, description: s.Description, alerts: told[s.Name]})
	}
	for _, s := range slices.Concat(jobScenarios(), gpuScenarios(), sourceScenarios(), bridgeScenarios()) {
		s.after = soon
		add(s)
	}
	return all
}

// toldAlerts are what the stories of the simulated services and GPUs fire. Those about how a job uses its GPUs want a job that lives for
// half an hour: the jobs of the demo do at --speed=1.
func toldAlerts() map[string][]string {
	return map[string][]string{
		"fleet":               {"TrainingJobFailed", "TrainingJobLossNonFinite", "TrainingJobStalled", "TrainingGpuXidCritical"},
		"failures":            {"TrainingJobFailed", "TrainingJobFailureStorm"},
		"nan":                 {"TrainingJobLossNonFinite"},
		"stall":               {"TrainingJobStalled", "TrainingJobNoFirstStep"},
		"storm":               {"TrainingJobFailureStorm", "TrainingJobFailed"},
		"gpu_xid":             {"TrainingGpuXidCritical"},
		"gpu_xid_application": {"TrainingGpuXidApplication"},
		"gpu_thermal":         {"TrainingGpuThrottled"},
		"gpu_ecc":             {"TrainingGpuUncorrectableEcc", "TrainingGpuXidCritical"},
		"gpu_row_remap":       {"TrainingGpuRowRemapFailed", "TrainingGpuXidCritical"},
		"gpu_pcie":            {"TrainingGpuPcieDowntrained"},
		"gpu_hang":            {"TrainingGpuXidCritical"},
		"gpu_idle":            {"TrainingJobGpuIdle"},
		"gpu_spin":            {"TrainingJobSpinHang"},
		"gpu_straggler":       {"TrainingJobStragglerGpu"},
		"gpu_lost":            {"TrainingGpuVanished"},
	}
}

func jobScenarios() []scenario {
	return []scenario{
		{
			name: "job_failed", description: "A W&B job runs out of memory.",
			alerts: []string{"TrainingJobFailed"}, act: failJobs(1),
		},
		{
			name: "failure_storm", description: "Five W&B jobs of a project fail within minutes.",
			alerts: []string{"TrainingJobFailureStorm", "TrainingJobFailed"}, act: failJobs(5),
		},
		{
			name: "loss_nan", description: "The loss of a W&B job becomes NaN.",
			alerts: []string{"TrainingJobLossNonFinite"}, act: breakLoss,
		},
		{
			name: "stalled", description: "A W&B job that made a step every five seconds makes no more.",
			alerts: []string{"TrainingJobStalled"}, act: stall, lasts: time.Hour,
		},
		{
			name: "no_first_step", description: "A W&B job has begun and makes no step; fires after half an hour.",
			alerts: []string{"TrainingJobNoFirstStep"}, act: neverStep, lasts: time.Hour,
		},
		{
			name: "over_budget", description: "A TensorOne job costs more than it may.",
			alerts: []string{"TrainingJobOverBudget"}, act: overspend,
			config: []string{"    units: {currency: USD}\n", "    units: {currency: USD}\n    budget: 500 USD\n"},
		},
		{
			name: "restart_loop", description: "A W&B job dies and starts afresh every 30 seconds.",
			alerts: []string{"TrainingJobRestartLoop"}, act: restartLoop,
			lasts: time.Hour,
		},
		{
			name: "diverging", description: "The loss of a W&B job falls for a quarter of an hour and then rises; fires after an hour.",
			alerts: []string{"TrainingJobLossDiverging"}, act: diverge,
			lasts: 90 * time.Minute,
		},
		{
			name: "slow_down", description: "A TensorOne job trains well for an hour and then at a third of the pace; fires half an hour later.",
			alerts: []string{"TrainingJobThroughputRegressed"}, act: slowDown,
			lasts: 110 * time.Minute,
		},
		{
			name: "stuck_queued", description: "A Run:ai workload has been initializing for hours.",
			alerts: []string{"TrainingJobStuckQueued"}, act: stayQueued,
		},
		{
			name: "stale_checkpoint", description: "A TensorOne job saved every 20 minutes, and has not for two hours.",
			alerts: []string{"TrainingJobCheckpointStale"}, act: stopSaving,
		},
		{
			name: "vanished", description: "A W&B job that runs is not known to the service any more. No alert; the status page says so.", act: vanish,
		},
	}
}

func gpuScenarios() []scenario {
	return []scenario{
		{
			name: "gpu_job_idle", description: "A Run:ai workload holds four GPUs and uses none; fires after half an hour, and as a zombie after two hours.",
			alerts: []string{"TrainingJobGpuIdle", "TrainingJobZombieRunning"}, act: idleOnGPUs,
			lasts: 3 * time.Hour,
		},
		{
			name: "gpu_job_hang", description: "A W&B job stops making steps, and its GPUs wait for each other at full load.",
			alerts: []string{"TrainingJobSpinHang", "TrainingJobStalled"}, act: hangOnGPUs,
		},
		{
			name: "gpu_job_straggler", description: "One of the four GPUs of a W&B job has lower clocks than the others; fires after half an hour.",
			alerts: []string{"TrainingJobStragglerGpu"}, act: lagBehind,
			lasts: time.Hour,
		},
		{
			name: "gpu_false_end", description: "W&B says that a job has ended, and it goes on training; fires after 20 minutes.",
			alerts: []string{"TrainingJobFalseTerminal"}, config: []string{"retention: ", "retention: 2h # "}, act: endFalsely,
			lasts: time.Hour,
		},
		{
			name: "gpu_xid_repeats", description: "One GPU ends each job that gets it with XID 31, every two minutes another.",
			alerts: []string{
				"TrainingGpuXidRepeatsAcrossJobs", "TrainingGpuXidApplication", "TrainingJobFailed", "TrainingJobFailureStorm",
			}, act: repeatXIDs, clears: 25 * time.Hour,
		},
		{
			name: "gpu_missing", description: "The machine should have nine GPUs and has eight.",
			alerts: []string{"TrainingGpuVanished"}, config: []string{"expected: 8", "expected: 9"},
		},
		{
			name: "gpu_driver", description: "The library of the driver is not there any more, as after an upgrade that went wrong.",
			alerts: []string{"TrainingGpuDriverDown"}, act: reconfigure("virtual:gpus.json", "/opt/nvidia/none/libnvidia-ml.so.1"),
		},
		{
			name: "gpu_helper_stuck", description: "What read the GPUs hangs in the kernel and does not end; only in a rehearsal, for the helper of a demo can be killed.",
			alerts: []string{"TrainingGpuHelperStuck"}, act: stickHelper,
		},
		{
			name: "gpu_assignments", description: "The folder that says which job has which GPU is not there any more.",
			alerts: []string{"TrainingGpuAssignmentUnreadable"}, act: reconfigure("path: gpu-jobs/wandb", "path: gpu-jobs/moved"),
		},
	}
}

func sourceScenarios() []scenario {
	return []scenario{
		{
			name: "source_down", description: "Run:ai answers 503; the second alert after a quarter of an hour, for workloads run.",
			alerts: []string{"TrainingSourceDown", "TrainingSourceBlindToRunningJobs"}, act: goDown,
		},
		{
			name: "auth_rejected", description: "W&B takes the key no more.",
			alerts: []string{"TrainingSourceAuthRejected", "TrainingSourceDown", "TrainingSourceBlindToRunningJobs"}, act: rejectKey,
		},
		{
			name: "rate_limited", description: "TensorOne answers 429 to all requests.",
			alerts: []string{"TrainingSourceRateLimited", "TrainingSourceDown", "TrainingSourceBlindToRunningJobs"}, act: limitRate,
		},
		{
			name: "schema_drift", description: "A Run:ai workload is in a phase that the bridge has never heard of.",
			alerts: []string{"TrainingSourceSchemaDrift"}, act: drift,
		},
		{
			name: "credential_expiring", description: "The key of AiTEMS ends within three days; fires after a day with the same key.",
			lasts: 25 * time.Hour, alerts: []string{"TrainingSourceCredentialExpiring"}, config: []string{
				"    access_key: demo-access-key\n",
				"    access_key: demo-access-key\n    credentials_expire: " + time.Now().Add(72*time.Hour).UTC().Format(time.RFC3339) + "\n",
			},
		},
		{
			name: "clock_skew", description: "The clocks of AiTEMS and of the bridge are two minutes apart.",
			alerts: []string{"TrainingSourceClockSkew"}, act: skewClock,
		},
		{
			name: "lagging", description: "W&B takes 5 seconds for an answer, and its 80 jobs are asked one after the other.",
			alerts: []string{"TrainbridgeLagging"}, act: lag,
		},
	}
}

func bridgeScenarios() []scenario {
	return []scenario{
		{
			name: "series_held_back", description: "No more than three jobs of a source may have series; fires after half an hour.",
			alerts: []string{"TrainbridgeSeriesHeldBack"}, restart: true, config: []string{"\nsources:\n", "\nmetrics: {jobs_per_source: 3}\nsources:\n"},
			lasts: time.Hour,
		},
		{
			name: "state_in_memory", description: "No state directory is configured.",
			alerts: []string{"TrainbridgeStateNotDurable"}, restart: true, config: []string{"state:\n  directory: ", "state: {} # "},
		},
		{
			name: "bridge_down", description: "The bridge stops, and nobody starts it.",
			alerts: []string{"TrainbridgeTargetDown", "TrainbridgeAbsent"}, act: stopBridge, restart: true,
		},
		{
			name: "disk_full", description: "The state cannot be written: the disk is full.",
			alerts: []string{"TrainbridgeStateNotWritable"}, act: fillDisk,
		},
		{
			name: "bad_config", description: "The configuration file has a mistake and is reloaded.",
			alerts: []string{"TrainbridgeConfigReloadFailed"}, act: breakConfig,
		},
		{
			name: "otlp_failing", description: "The OTLP receiver answers 503.",
			alerts: []string{"TrainbridgeOtlpFailing"}, act: sendTo(503),
		},
		{
			name: "otlp_data_lost", description: "The OTLP receiver answers 400: it refuses what it is sent.",
			alerts: []string{"TrainbridgeOtlpDataLost", "TrainbridgeOtlpFailing"}, act: sendTo(400),
		},
	}
}

func findScenario(name string) (scenario, error) {
	var names []string
	for _, s := range scenarios() {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return scenario{}, fmt.Errorf("--scenario=%s: unknown: use one of %s; --scenario=list describes them", name, strings.Join(names, ", "))
}

func listScenarios(w io.Writer) error {
	for _, s := range scenarios() {
		text := s.description
		if len(s.alerts) > 0 {
			text += fmt.Sprintf("\n%-20s fires %s", "", strings.Join(s.alerts, ", "))
		}
		if _, err := fmt.Fprintf(w, "%-20s %s\n", s.name, text); err != nil {
			return err
		}
	}
	return nil
}
