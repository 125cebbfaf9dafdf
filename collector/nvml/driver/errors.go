//go:build linux && cgo

package driver

import "github.com/NVIDIA/go-nvml/pkg/nvml"

// texts are the words for the codes of the library. Its own nvmlErrorString, and so Return.Error and Return.String, must not
// be called: after a failed start that would end the process.
var texts = map[nvml.Return]string{
	nvml.ERROR_UNINITIALIZED:           "the driver was unloaded or reloaded",
	nvml.ERROR_INVALID_ARGUMENT:        "the driver does not know the GPU or the argument",
	nvml.ERROR_NOT_SUPPORTED:           "not supported",
	nvml.ERROR_NO_PERMISSION:           "no permission: give the process or the container access to /dev/nvidiactl and /dev/nvidia*",
	nvml.ERROR_NOT_FOUND:               "not found",
	nvml.ERROR_INSUFFICIENT_POWER:      "the GPU's power cables are not attached properly",
	nvml.ERROR_DRIVER_NOT_LOADED:       "the kernel module nvidia is not loaded: load it (modprobe nvidia), and look into dmesg if that fails",
	nvml.ERROR_TIMEOUT:                 "no answer in time",
	nvml.ERROR_IRQ_ISSUE:               "the kernel sees a problem with the GPU's interrupts: look into dmesg",
	nvml.ERROR_LIBRARY_NOT_FOUND:       "the library could not be loaded: install the NVIDIA driver, or give the container its libraries",
	nvml.ERROR_FUNCTION_NOT_FOUND:      "the driver's library is too old and lacks a function",
	nvml.ERROR_CORRUPTED_INFOROM:       "the GPU's infoROM is corrupted: the GPU must be repaired",
	nvml.ERROR_GPU_IS_LOST:             "the GPU has fallen off the bus: reset it or restart the machine",
	nvml.ERROR_RESET_REQUIRED:          "the GPU must be reset before it can be used again (nvidia-smi --gpu-reset)",
	nvml.ERROR_OPERATING_SYSTEM:        "the operating system keeps the process from the GPU: allow its devices in the cgroup",
	nvml.ERROR_LIB_RM_VERSION_MISMATCH: "library and kernel module are of different versions: restart the machine or reload the module after an update of the driver",
	nvml.ERROR_MEMORY:                  "out of memory",
	nvml.ERROR_GPU_NOT_FOUND:           "there are no GPUs",
	nvml.ERROR_UNKNOWN:                 "internal error of the driver",
}

// kinds are what codes of a running driver mean. All others are Failed.
var kinds = map[nvml.Return]Kind{
	nvml.ERROR_UNINITIALIZED:           Stale,
	nvml.ERROR_DRIVER_NOT_LOADED:       Stale,
	nvml.ERROR_LIB_RM_VERSION_MISMATCH: Stale,
	nvml.ERROR_GPU_NOT_FOUND:           Stale,
	nvml.ERROR_GPU_IS_LOST:             Lost,
	nvml.ERROR_RESET_REQUIRED:          Lost,
	nvml.ERROR_NO_PERMISSION:           NoPermission,
	nvml.ERROR_OPERATING_SYSTEM:        NoPermission,
}

// openKinds are what codes mean while the library is initialised.
var openKinds = map[nvml.Return]Kind{
	nvml.ERROR_LIBRARY_NOT_FOUND:       NoLibrary,
	nvml.ERROR_DRIVER_NOT_LOADED:       NoDriver,
	nvml.ERROR_LIB_RM_VERSION_MISMATCH: VersionMismatch,
	nvml.ERROR_NO_PERMISSION:           NoPermission,
	nvml.ERROR_OPERATING_SYSTEM:        NoPermission,
	nvml.ERROR_GPU_NOT_FOUND:           NoGPU,
}

// openError is a failure to initialise the library.
func openError(op string, ret nvml.Return) error {
	return &Error{Kind: openKinds[ret], Op: op, Code: int(ret), Text: texts[ret]}
}

// callError is the failure of a call that has no substitute; nil if it did not fail.
func callError(op string, ret nvml.Return) error {
	if ret == nvml.SUCCESS {
		return nil
	}
	return &Error{Kind: kinds[ret], Op: op, Code: int(ret), Text: texts[ret]}
}

// unsupported reports whether a code says that there is no such value here, and nothing is wrong. What the process may not
// see belongs to it: the processes of other users' MIG instances, say.
func unsupported(ret nvml.Return) bool {
	switch ret {
	case nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_FUNCTION_NOT_FOUND, nvml.ERROR_ARGUMENT_VERSION_MISMATCH, nvml.ERROR_INVALID_ARGUMENT,
		nvml.ERROR_NO_DATA, nvml.ERROR_NOT_FOUND, nvml.ERROR_DEPRECATED, nvml.ERROR_NO_PERMISSION, nvml.ERROR_VGPU_ECC_NOT_SUPPORTED:
		return true
	default:
		return false
	}
}

// ends reports whether the other calls of a group need not be tried.
func ends(ret nvml.Return) bool {
	k := kinds[ret]
	return k == Lost || k == Stale
}
