package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const migA100 = "GPU-1f027ee8-6e1e-2b8c-0108-3d370e5f0418"

// dividedA100 is an A100 and its two MIG instances, of which only the GPU itself knows temperature, power and XIDs.
func dividedA100() []*GPU {
	board := &GPU{
		ID: migA100, Up: true, ReadAt: dcgmEpoch, Jobs: []Key{{Source: "slurm", ID: "not shown"}},
		Info: GPUInfo{Index: "0", Name: "NVIDIA A100-SXM4-40GB", PCIBusID: "00000000:07:00.0"},
		Values: dcgmValues(
			DeviceUtilization, "general", 0.5, DeviceMemoryLimit, "", 42949672960.0, DeviceMemoryUsage, "", 1073741824.0, DeviceMemoryReserved, "", 0.0,
			DevicePower, "", 178.25, DeviceEnergy, "", 12.5, DeviceTemperature, "gpu", 33.0, DeviceTemperature, "memory", 29.0,
			DeviceClock, "sm", 1410e6, DeviceClock, "memory", 1215e6, DeviceIO, "receive", 1e9, DeviceNVLinkThroughput, "receive", 1e9,
			DeviceRemappedRows, "uncorrected", 0.0, DeviceRowRemapFailure, "", 0.0, DeviceXIDLast, "94", 1.7e9, DeviceXIDErrors, "94", 1.0,
			DeviceGraphicsUtilization, "", 0.9,
		),
	}
	instance := func(id, profile, gi string, used float64, pods ...Pod) *GPU {
		return &GPU{
			ID: id, Up: true, ReadAt: dcgmEpoch, Pods: pods,
			Info: GPUInfo{Index: "0", Name: "NVIDIA A100-SXM4-40GB MIG " + profile, Parent: migA100, Profile: profile, Instance: gi},
			Values: dcgmValues(
				DeviceMemoryLimit, "", 5*1073741824.0, DeviceMemoryUsage, "", used, DeviceGraphicsUtilization, "", 0.25, DeviceTensorUtilization, "", 0.125,
			),
		}
	}
	return []*GPU{
		board,
		instance("MIG-a", "1g.5gb", "7", 10485760, Pod{Namespace: "team-a", Name: "notebook-0", Container: "jupyter"}),
		instance("MIG-b", "3g.20gb", "2", 2097152),
	}
}

func TestDCGMInstancesTakeTheirGPUsPlace(t *testing.T) {
	var want []string
	for _, i := range []struct{ labels, pod, used, free string }{
		{`GPU_I_PROFILE="1g.5gb",GPU_I_ID="7"`, `container="jupyter",%snamespace="team-a",pod="notebook-0"`, "10", "5110"},
		{`GPU_I_PROFILE="3g.20gb",GPU_I_ID="2"`, `%s`, "2", "5118"},
	} {
		labels := `gpu="0",UUID="` + migA100 + `",pci_bus_id="00000000:07:00.0",device="nvidia0",modelName="NVIDIA A100-SXM4-40GB",` +
			i.labels + `,Hostname="gpu-node-07",DCGM_FI_DRIVER_VERSION="570.124.06",` + i.pod
		want = append(want, dcgmGolden(strings.TrimSuffix(fmt.Sprintf(labels, ""), ","), `
			DCGM_FI_DEV_SM_CLOCK 1410
			DCGM_FI_DEV_MEM_CLOCK 1215
			DCGM_FI_DEV_GPU_TEMP 33
			DCGM_FI_DEV_MEMORY_TEMP 29
			DCGM_FI_DEV_POWER_USAGE 178.25
			DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION 12500
			DCGM_FI_DEV_FB_TOTAL 5120
			DCGM_FI_DEV_FB_USED `+i.used+`
			DCGM_FI_DEV_FB_FREE `+i.free+`
			DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS 0
			DCGM_FI_DEV_ROW_REMAP_FAILURE 0
			DCGM_FI_PROF_GR_ENGINE_ACTIVE 0.25
			DCGM_FI_PROF_PIPE_TENSOR_ACTIVE 0.125`)...)
		xid := strings.TrimSuffix(fmt.Sprintf(labels, `err_code="94",err_msg="Contained ECC error",`), ",")
		want = append(want, dcgmGolden(xid, `DCGM_FI_DEV_XID_ERRORS 94`)...)
	}
	sameLines(t, dcgmLines(t, DCGMViews(dcgmHost(), dividedA100(), false)), want)
}

// TestDCGMInstancesOfASilentGPU: what a GPU last said is not shown under its instances as if it were true now.
func TestDCGMInstancesOfASilentGPU(t *testing.T) {
	gpus := dividedA100()
	gpus[0].Up = false
	lines := dcgmLines(t, DCGMViews(dcgmHost(), gpus, false))
	for _, line := range lines {
		if strings.HasPrefix(line, "DCGM_FI_DEV_GPU_TEMP") || strings.HasPrefix(line, "DCGM_FI_DEV_POWER") {
			t.Errorf("shown: %s", line)
		}
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "DCGM_FI_DEV_FB_USED") }) {
		t.Error("the instances show nothing")
	}
}

func TestDCGMInstancesThatAreGone(t *testing.T) {
	gpus := dividedA100()
	gpus[1].Up, gpus[2].Up = false, false
	views := DCGMViews(dcgmHost(), gpus, false)
	if len(views) != 1 || views[0].ID != migA100 {
		t.Errorf("%d views, first of %s", len(views), views[0].ID)
	}
}

// TestDCGMSharedInstance: two compute instances of one GPU instance have the same labels, so they are one.
func TestDCGMSharedInstance(t *testing.T) {
	gpus := dividedA100()
	gpus[2].Info.Instance, gpus[2].Info.Profile = "7", "1g.5gb"
	gpus[2].Pods = []Pod{{Namespace: "team-b", Name: "other", Container: "main"}}
	gpus[1].Up = false
	views := DCGMViews(dcgmHost(), gpus, false)
	if len(views) != 1 || views[0].ID != "MIG-b" {
		t.Fatalf("%d views", len(views))
	}
	gpus[1].Up = true
	views = DCGMViews(dcgmHost(), gpus, false)
	if len(views) != 2 || views[0].Pod.Name != "notebook-0" || views[1].Pod.Name != "other" || views[1].ID != "MIG-a" {
		t.Errorf("%d views, %+v", len(views), views)
	}
}

// TestDCGMSeriesPerJobAndPod: where several pods and several jobs share a GPU, nobody says which pod has which job.
func TestDCGMSeriesPerJobAndPod(t *testing.T) {
	g := fullH100()
	twelve, thirteen := Key{Source: "slurm", ID: "12"}, Key{Source: "slurm", ID: "13"}
	one, other := g.Pods[0], Pod{Namespace: "team-b", Name: "bert-1", Container: "main"}
	for _, c := range []struct {
		jobs []Key
		pods []Pod
		want []string
	}{
		{[]Key{twelve, thirteen, {Source: "wandb", ID: "12"}}, []Pod{one, other, one}, []string{" bert-0", " bert-1"}},
		{[]Key{twelve}, []Pod{one, other}, []string{"12 bert-0", "12 bert-1"}},
		{[]Key{twelve, thirteen}, []Pod{one}, []string{"12 bert-0", "13 bert-0"}},
		{[]Key{twelve, thirteen}, nil, []string{"12 ", "13 "}},
	} {
		g.Jobs, g.Pods = c.jobs, c.pods
		var got []string
		for _, v := range DCGMViews(dcgmHost(), []*GPU{g}, false) {
			got = append(got, v.Job+" "+v.Pod.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
	for i := range 200 {
		g.Jobs = append(g.Jobs, Key{Source: "slurm", ID: fmt.Sprint(1000 + i)})
	}
	if n := len(DCGMViews(dcgmHost(), []*GPU{g, dividedA100()[0]}, false)); n != maxDCGMViews+1 {
		t.Errorf("%d views of two GPUs", n)
	}
}

// TestDCGMSeriesAreUnique: a scrape with two equal series is refused as a whole.
func TestDCGMSeriesAreUnique(t *testing.T) {
	gpus := append(dividedA100(), fullH100())
	again := dividedA100()[1]
	again.ID = "MIG-c"
	gpus = append(gpus, again)
	unnumbered := dividedA100()[2]
	unnumbered.ID, unnumbered.Info.Instance = "MIG-d", ""
	gpus = append(gpus, unnumbered)
	for _, g := range gpus {
		g.Jobs = []Key{{Source: "a", ID: "same"}, {Source: "b", ID: "same"}}
	}
	for _, renamed := range []bool{false, true} {
		seen := map[string]bool{}
		for _, line := range dcgmLines(t, DCGMViews(dcgmHost(), gpus, renamed)) {
			series, _, _ := strings.Cut(line, "} ")
			if seen[series] {
				t.Errorf("twice: %s", series)
			}
			seen[series] = true
		}
		ids := map[string]bool{}
		for _, v := range DCGMViews(dcgmHost(), gpus, renamed) {
			id := strings.Join(v.Identity(nil), "|")
			if ids[id] {
				t.Errorf("two views are %s", id)
			}
			ids[id] = true
		}
	}
}

func TestDCGMMissingIsAbsent(t *testing.T) {
	bare := &GPU{ID: "GPU-x", Up: true, ReadAt: dcgmEpoch, Info: GPUInfo{Index: "1"}}
	got := dcgmLines(t, DCGMViews(&GPUHost{}, []*GPU{bare}, false))
	sameLines(t, got, []string{`DCGM_FI_DEV_XID_ERRORS{gpu="1",UUID="GPU-x",device="nvidia1",err_code="0",err_msg="No Error"} 0`})
	lost := fullH100()
	lost.Up = false
	for _, line := range dcgmLines(t, DCGMViews(dcgmHost(), []*GPU{lost}, false)) {
		for _, live := range []string{"TEMP", "POWER_USAGE", "CLOCK", "UTIL", "FB_", "PROF", "NVLINK_BANDWIDTH"} {
			if name, _, _ := strings.Cut(line, "{"); strings.Contains(name, live) {
				t.Errorf("a lost GPU shows %s", line)
			}
		}
	}
	lost.Values = nil
	if got := dcgmLines(t, DCGMViews(dcgmHost(), []*GPU{lost}, true)); len(got) > 0 {
		t.Errorf("nothing is known, shown: %v", got)
	}
}

func TestDCGMFreeMemory(t *testing.T) {
	g := &GPU{ID: "GPU-x", Up: true, Values: dcgmValues(DeviceMemoryLimit, "", 3*1048576.0, DeviceMemoryUsage, "", 1048576.0)}
	free := func() (float64, bool) { return freeMemory(&DCGMView{GPU: g}) }
	if v, ok := free(); !ok || v != 2*1048576 {
		t.Errorf("an old driver: %v %v", v, ok)
	}
	g.Values = dcgmValues(DeviceMemoryUsage, "", 1048576.0)
	if v, ok := free(); ok {
		t.Errorf("no limit: %v", v)
	}
	g.Values = dcgmValues(DeviceMemoryLimit, "", 3.0, DeviceMemoryUsage, "", 4.0)
	if v, ok := free(); ok {
		t.Errorf("more used than there is: %v", v)
	}
}

func TestDCGMRates(t *testing.T) {
	at := func(seconds int, receive float64) *GPU {
		return &GPU{
			ID: "GPU-x", Up: true, ReadAt: dcgmEpoch.Add(time.Duration(seconds) * time.Second),
			Values: dcgmValues(DeviceNVLinkIO, "receive", receive),
		}
	}
	step := func(before []*DCGMView, g *GPU) []*DCGMView {
		return NextDCGMViews(before, dcgmHost(), []*GPU{g}, false)
	}
	expect := func(name string, v []*DCGMView, want float64, known bool) {
		t.Helper()
		if got, ok := linkRate(v[0], "receive"); got != want || ok != known {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
	first := step(nil, at(0, 100))
	expect("one reading", first, 0, false)
	second := step(first, at(10, 600))
	expect("two readings", second, 50, true)
	expect("not read anew", step(second, at(10, 600)), 50, true)
	expect("no traffic", step(second, at(20, 600)), 0, true)
	expect("a counter that fell", step(second, at(20, 5)), 0, false)
	expect("a clock that went back", step(second, at(5, 700)), 0, false)
	down := at(20, 700)
	down.Up = false
	expect("a GPU that does not answer", step(second, down), 0, false)
	expect("and answers again", step(step(second, down), at(30, 900)), 0, false)
}
