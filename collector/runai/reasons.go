package runai

import (
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// judgement is whether an event of a reason may say why a workload fails soon after. The type of an event is no severity: the
// scheduler of Run:ai reports evictions as Normal.
type judgement uint8

const (
	byType  judgement = iota // if the service calls it a warning
	telling                  // always
	silent                   // never
)

// reasons are the words that are counted by name: those of the scheduler of Run:ai (which is public as KAI), of the kubelet, of the
// scheduler and of the controllers of Kubernetes, and of the operators that run training.
var reasons = map[string]judgement{
	// The scheduler of Run:ai. Evict is preemption, reclaim, consolidation or too few pods, as its message says.
	"Scheduled": silent, "Pipelined": silent, "Bound": silent, "BindingError": telling, "FailedBinding": telling, "Unschedulable": byType,
	"NotReady": byType, "StaleJob": silent, "Evict": telling, "PodGrouperWarning": telling,
	// What a control plane may add.
	"Preempted": telling, "Preempting": telling, "Preemption": telling, "Evicted": telling, "PodGroupScheduled": silent,
	// The kubelet.
	"Pulling": silent, "Pulled": silent, "Created": silent, "Started": silent, "Killing": silent, "BackOff": byType, "Failed": telling,
	"ErrImagePull": telling, "ImagePullBackOff": telling, "ErrImageNeverPull": telling, "InspectFailed": telling, "Unhealthy": byType,
	"ProbeWarning": byType, "ExceededGracePeriod": telling, "FailedKillPod": byType, "FailedCreatePodContainer": telling,
	"FailedCreatePodSandBox": telling, "SandboxChanged": byType, "FailedPreStopHook": byType, "FailedPostStartHook": telling,
	"FailedMount": telling, "FailedAttachVolume": telling, "FailedMapVolume": telling, "FailedUnMount": byType, "VolumeResizeFailed": telling,
	"SuccessfulAttachVolume": silent, "SuccessfulMountVolume": silent, "OOMKilling": telling, "OOMKilled": telling, "SystemOOM": telling,
	"FreeDiskSpaceFailed": telling, "EvictionThresholdMet": telling, "UnexpectedAdmissionError": telling, "OutOfcpu": telling,
	"OutOfmemory": telling, "NodeAffinity": telling, "NetworkNotReady": telling, "DNSConfigForming": silent, "CrashLoopBackOff": telling,
	"TopologyAffinityError": telling, "ContainerGCFailed": silent, "ImageGCFailed": silent,
	// The node.
	"NodeNotReady": telling, "NodeReady": silent, "NodeNotSchedulable": byType, "NodeHasDiskPressure": telling, "NodeHasInsufficientMemory": telling,
	"NodeHasInsufficientPID": telling, "Rebooted": telling, "Shutdown": telling, "TerminatingEvictedPod": telling, "DeletingNode": telling,
	"TaintManagerEviction": telling, "Cordon": silent, "Drain": telling, "Starting": silent,
	// Scheduling and controllers.
	"FailedScheduling": telling, "WaitingForGates": silent, "SuccessfulCreate": silent, "FailedCreate": telling, "SuccessfulDelete": silent,
	"FailedDelete": byType, "BackoffLimitExceeded": telling, "DeadlineExceeded": telling, "Completed": silent, "Suspended": silent,
	"Resumed": silent, "ScalingReplicaSet": silent, "SuccessfulRescale": silent, "FailedGetScale": byType, "ProvisioningSucceeded": silent,
	"ProvisioningFailed": telling, "Provisioning": silent, "ExternalProvisioning": silent, "WaitForFirstConsumer": silent,
	"TriggeredScaleUp": silent, "NotTriggerScaleUp": byType, "ScaleDown": telling,
	// Operators of training and inference.
	"SuccessfulCreatePod": silent, "SuccessfulDeletePod": silent, "SuccessfulCreateService": silent, "FailedCreatePod": telling,
	"JobCreated": silent, "JobRunning": silent, "JobSucceeded": silent, "JobFailed": telling, "JobRestarting": telling, "JobSuspended": silent,
	"JobResumed": silent, "PyTorchJobCreated": silent, "PyTorchJobRunning": silent, "PyTorchJobSucceeded": silent, "PyTorchJobFailed": telling,
	"PyTorchJobRestarting": telling, "TFJobCreated": silent, "TFJobRunning": silent, "TFJobSucceeded": silent, "TFJobFailed": telling,
	"MPIJobCreated": silent, "MPIJobRunning": silent, "MPIJobSucceeded": silent, "MPIJobFailed": telling, "MPIJobEvicted": telling,
	"ExitedWithCode": telling, "InternalError": byType, "LatestReadyFailed": byType, "RevisionFailed": telling,
}

// otherReason is the reason of events whose own is not among the known ones.
const otherReason = collector.OtherClass

// reasonOf is the reason as it is counted.
func reasonOf(word string) string {
	if word == "" {
		return ""
	}
	if _, known := reasons[word]; known {
		return word
	}
	return otherReason
}

// warns reports whether an event may say why the workload fails soon after.
func warns(typ, reason string) bool {
	switch reasons[reason] {
	case telling:
		return true
	case silent:
		return false
	}
	return strings.EqualFold(typ, "Warning")
}
