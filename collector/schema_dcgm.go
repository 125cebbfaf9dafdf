package collector

import "strings"

// DCGMView is a GPU as dcgm-exporter would show it, so that dashboards and alerts made for it keep working. Of a GPU that is
// divided into MIG instances only the instances are shown, and with several jobs or pods every series is there once for each:
// so does dcgm-exporter. [DCGMViews] makes them.
type DCGMView struct {
	*GPU
	Host    *GPUHost
	Renamed bool   // the names of dcgm-exporter 4.9 and later instead of the classic ones
	Parent  *GPU   // the GPU that a MIG instance is a part of, nil for others or if it is not known
	Job     string // id of a job that the GPU was given to
	Pod     Pod    // a pod that the GPU was given to

	rates []GPUValue // bytes per second between the last two readings, by the counter they are of
}

// DCGMIdentity is the attribute keys whose values a DCGMView's Identity gives, as dcgm-exporter spells and orders its labels.
// Either generation of names leaves two of them empty.
func DCGMIdentity() []string {
	return []string{
		"gpu", "UUID", "pci_bus_id", "device", "modelName", "GPU_I_PROFILE", "GPU_I_ID",
		"Hostname", "hostname", "DCGM_FI_DRIVER_VERSION", "DCGM_FI_SYSTEM_DRIVER_VERSION",
		"container", "hpc_job", "namespace", "pod",
	}
}

// Identity implements [Entity]. A MIG instance is named after its GPU.
func (v *DCGMView) Identity(dst []string) []string {
	own, board, uuid := &v.Info, &v.Info, v.ID
	if own.Parent != "" {
		uuid = own.Parent
	}
	if v.Parent != nil {
		board = &v.Parent.Info
	}
	device := ""
	if own.Index != "" {
		device = "nvidia" + own.Index
	}
	dst = append(dst, own.Index, uuid, longBusID(board.PCIBusID), device, board.Name, own.Profile, own.Instance)
	if host, driver := v.Host.Name, v.Host.Versions.Driver; v.Renamed {
		dst = append(dst, "", host, "", driver)
	} else {
		dst = append(dst, host, "", driver, "")
	}
	return append(dst, v.Pod.Container, v.Job, v.Pod.Namespace, v.Pod.Name)
}

// longBusID is a PCI address with the eight digits that dcgm-exporter writes for the domain.
func longBusID(id string) string {
	if domain, _, _ := strings.Cut(id, ":"); len(domain) == 4 {
		id = "0000" + id
	}
	return strings.ToUpper(id)
}

// board is a value that a MIG instance shares with its GPU, such as a temperature. A GPU that does not answer has none to share.
func (v *DCGMView) board(m GPUMetric, label string) (float64, bool) {
	if x, ok := v.Value(m, label); ok || v.Parent == nil || !v.Parent.Up {
		return x, ok
	}
	return v.Parent.Value(m, label)
}
