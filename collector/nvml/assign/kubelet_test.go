package assign

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

// fakeKubelet answers as a kubelet does, hangs, dies and comes back.
type fakeKubelet struct {
	podresources.UnimplementedPodResourcesListerServer
	t      *testing.T
	socket string
	server *grpc.Server

	mu    sync.Mutex
	pods  []*podresources.PodResources
	err   error
	hangs bool
	conns int
}

func newFakeKubelet(t *testing.T) *fakeKubelet {
	k := &fakeKubelet{t: t, socket: filepath.Join(t.TempDir(), "kubelet.sock")}
	t.Cleanup(k.die)
	return k
}

// live starts it, at first or again.
func (k *fakeKubelet) live() {
	k.t.Helper()
	l, err := net.Listen("unix", k.socket)
	if err != nil {
		k.t.Fatal(err)
	}
	k.server = grpc.NewServer()
	podresources.RegisterPodResourcesListerServer(k.server, k)
	server := k.server
	go func() { _ = server.Serve(counted{l, k}) }()
}

// die ends it, with its socket.
func (k *fakeKubelet) die() {
	if k.server != nil {
		k.server.Stop()
		k.server = nil
	}
}

func (k *fakeKubelet) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

func (k *fakeKubelet) List(ctx context.Context, _ *podresources.ListPodResourcesRequest) (*podresources.ListPodResourcesResponse, error) {
	k.mu.Lock()
	pods, err, hangs := k.pods, k.err, k.hangs
	k.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &podresources.ListPodResourcesResponse{PodResources: pods}, err
}

type counted struct {
	net.Listener
	k *fakeKubelet
}

func (c counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	c.k.set(func() { c.k.conns++ })
	return conn, err
}

// pod is a pod with one container.
func pod(namespace, name string, devices ...*podresources.ContainerDevices) *podresources.PodResources {
	return &podresources.PodResources{
		Namespace: namespace, Name: name, Containers: []*podresources.ContainerResources{{Name: "main", Devices: devices}},
	}
}

func devices(resource string, ids ...string) *podresources.ContainerDevices {
	return &podresources.ContainerDevices{ResourceName: resource, DeviceIds: ids}
}

func asking(t *testing.T, k *fakeKubelet, o Options) *Assigner {
	a := assigner(t, Config{Kubelet: &Kubelet{Socket: k.socket}}, o)
	a.within = 300 * time.Millisecond
	return a
}

func TestKubelet(t *testing.T) {
	k := newFakeKubelet(t)
	k.pods = []*podresources.PodResources{
		pod("ml", "train-0", devices("nvidia.com/gpu", uuid0), devices("cpu", "1"), devices("example.com/nic", "GPU-nic")),
		pod("ml", "train-1", devices("nvidia.com/gpu.shared", uuid0+"::3"), devices("nvidia.com/mig-1g.10gb", mig10)),
		pod("ml", "old", devices("nvidia.com/mig-1g.10gb", "MIG-"+uuid1+"/7/0")),
		pod("gke", "serve", devices("nvidia.com/gpu", "nvidia0/vgpu1", "nvidia3/gi7")),
		pod("ml", "lost", devices("nvidia.com/gpu", "GPU-unknown", "nvidia9")), // two bad
		pod("", "nobody", devices("nvidia.com/gpu", uuid0)),                    // one bad
		{Name: "bare", Namespace: "ml"},
	}
	k.live()
	jobs := func(namespace, name string) (collector.Key, bool) {
		if namespace == "ml" && strings.HasPrefix(name, "train-") {
			return collector.Key{Source: "runai", ID: "w1"}, true
		}
		return collector.Key{}, false
	}
	a := asking(t, k, Options{JobOfPod: jobs})
	for range 3 {
		r := a.Look(t.Context(), host())
		equal(t, "pods of GPU 0", podsOf(r, uuid0), "gke/serve/main ml/train-0/main ml/train-1/main")
		equal(t, "jobs of GPU 0", jobsOf(r, uuid0), "runai/w1")
		equal(t, "pods of GPU 1", podsOf(r, uuid1), "")
		equal(t, "pods of instance 1", podsOf(r, mig10), "ml/train-1/main")
		equal(t, "pods of instance 7", podsOf(r, mig17), "gke/serve/main ml/old/main")
		equal(t, "jobs of instance 7", jobsOf(r, mig17), "")
		equal(t, "sources", sources(r), "kubelet up=true bad=3")
	}
	k.set(func() {
		if k.conns != 1 {
			t.Errorf("%d connections for 3 looks", k.conns)
		}
	})
	b := asking(t, k, Options{})
	equal(t, "jobs when nobody knows them", jobsOf(b.Look(t.Context(), host()), uuid0), "")
}

func TestDynamicResources(t *testing.T) {
	claim := func(driver, device string, cdi ...string) *podresources.PodResources {
		r := &podresources.ClaimResource{DriverName: driver, PoolName: "node", DeviceName: device}
		for _, c := range cdi {
			r.CdiDevices = append(r.CdiDevices, &podresources.CDIDevice{Name: c})
		}
		return &podresources.PodResources{Namespace: "dra", Name: device, Containers: []*podresources.ContainerResources{{
			Name:             "main",
			DynamicResources: []*podresources.DynamicResource{{ClaimName: "c", ClaimNamespace: "dra", ClaimResources: []*podresources.ClaimResource{r}}},
		}}}
	}
	k := newFakeKubelet(t)
	k.pods = []*podresources.PodResources{
		claim("gpu.nvidia.com", strings.ToLower(uuid0)),
		claim("gpu.nvidia.com", "gpu-1", "k8s.gpu.nvidia.com/device="+mig10),
		claim("gpu.nvidia.com", "gpu-2", "k8s.gpu.nvidia.com/claim=c-gpu-2"),             // one bad: neither a number nor an index of these
		claim("gpu.nvidia.com", "gpu-3", "k8s.gpu.nvidia.com/claim=c-gpu-3"),             // by the number of its device file
		claim("gpu.nvidia.com", "gpu-0"),                                                 //
		claim("gpu.nvidia.com", "gpu-3-mig-1g10gb-19-0", "k8s.gpu.nvidia.com/claim=c-x"), // one bad
		claim("gpu.nvidia.com", "gpu-3-mig-9-4-4", "k8s.gpu.nvidia.com/device="+mig17),
		claim("gpu.nvidia.com", "gpu-"), claim("gpu.nvidia.com", "gpu-00"), // two bad
		claim("nic.example.com", "nic-0"), claim("nic.example.com", "gpu-0"),
	}
	k.live()
	r := asking(t, k, Options{}).Look(t.Context(), host())
	equal(t, "GPU 0", podsOf(r, uuid0), "dra/gpu-0/main dra/"+strings.ToLower(uuid0)+"/main")
	equal(t, "GPU 1", podsOf(r, uuid1), "dra/gpu-3/main")
	equal(t, "instance 1", podsOf(r, mig10), "dra/gpu-1/main")
	equal(t, "instance 7", podsOf(r, mig17), "dra/gpu-3-mig-9-4-4/main")
	equal(t, "sources", sources(r), "kubelet up=true bad=4")
}

// The life of a kubelet: it is not there, comes, hangs, dies and comes back, on one connection that is never waited for.
func TestKubeletThatComesAndGoes(t *testing.T) {
	k := newFakeKubelet(t)
	k.pods = []*podresources.PodResources{pod("ml", "a", devices("nvidia.com/gpu", uuid0))}
	var out logs
	a := asking(t, k, Options{Log: out.logger()})
	look := func(what, pods, state string) {
		t.Helper()
		start := time.Now()
		r := a.Look(t.Context(), host())
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: the look took %s", what, took)
		}
		equal(t, what, podsOf(r, uuid0), pods)
		equal(t, what, sources(r), state)
	}
	for range 3 {
		look("without a socket", "", "kubelet up=false bad=0")
	}
	if out.lines() != 1 || !strings.Contains(out.String(), "mount the node's directory") || !strings.Contains(out.String(), "KubeletPodResources") {
		t.Errorf("the log does not say what to do:\n%s", out.String())
	}
	k.live()
	look("alive", "ml/a/main", "kubelet up=true bad=0")
	k.set(func() { k.hangs = true })
	look("hanging", "ml/a/main", "kubelet up=false bad=0")
	look("hanging", "ml/a/main", "kubelet up=false bad=0")
	k.die()
	look("dead", "ml/a/main", "kubelet up=false bad=0")
	k.set(func() { k.hangs, k.pods = false, nil })
	k.live()
	for deadline := time.Now().Add(10 * time.Second); !a.Look(t.Context(), host()).Sources[0].Up; {
		if time.Now().After(deadline) {
			t.Fatal("the kubelet is back, and is not asked")
		}
		time.Sleep(20 * time.Millisecond)
	}
	look("back, without pods", "", "kubelet up=true bad=0")
}

func TestKubeletThatRefuses(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{status.Error(codes.Unimplemented, "unknown service v1.PodResourcesLister"), "must be 1.20"},
		{status.Error(codes.ResourceExhausted, "rejected by rate limit"), "longer interval"},
		{status.Error(codes.Internal, "evil \x1b[31m words\nlevel=ERROR"), "refuses: evil [31m wordslevel"},
		{errors.New("plain"), "plain"},
	} {
		k := newFakeKubelet(t)
		k.err = c.err
		k.live()
		var out logs
		a := asking(t, k, Options{Log: out.logger()})
		for range 3 {
			equal(t, "sources", sources(a.Look(t.Context(), host())), "kubelet up=false bad=0")
		}
		if out.lines() != 1 || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: the log has no %q:\n%s", c.err, c.want, out.String())
		}
	}
}

func TestKubeletWithManyPods(t *testing.T) {
	k := newFakeKubelet(t)
	for i := range 10_000 {
		id := "GPU-of-another-node"
		if i%50 == 0 { // 200 pods of two GPUs
			id = []string{uuid0, uuid1}[i/50%2] + fmt.Sprintf("::%d", i)
		}
		k.pods = append(k.pods, pod("namespace", fmt.Sprintf("pod-with-a-rather-long-name-%05d", i), devices("nvidia.com/gpu", id)))
	}
	k.live()
	var out logs
	a := asking(t, k, Options{Log: out.logger(), JobOfPod: func(_, name string) (collector.Key, bool) { return key(name), true }})
	a.within = patience
	for range 3 {
		r := a.Look(t.Context(), host())
		if p, j := len(r.Pods[uuid0]), len(r.Jobs[uuid1]); p != maxPerGPU || j != maxPerGPU {
			t.Errorf("a GPU has %d pods, another %d jobs", p, j)
		}
		equal(t, "first pod", r.Pods[uuid0][0].Name, "pod-with-a-rather-long-name-00000")
		// 9,800 of unknown GPUs, and 36 too many on each GPU.
		equal(t, "sources", sources(r), "kubelet up=true bad=9872")
	}
	if out.lines() != 1 {
		t.Errorf("log:\n%s", out.String())
	}
}

func TestKubeletThatSaysTooMuch(t *testing.T) {
	k := newFakeKubelet(t)
	k.pods = []*podresources.PodResources{pod("ml", "a", devices("nvidia.com/gpu", strings.Repeat("x", maxAnswer)))}
	k.live()
	var out logs
	a := asking(t, k, Options{Log: out.logger()})
	a.within = patience
	equal(t, "sources", sources(a.Look(t.Context(), host())), "kubelet up=false bad=0")
	if !strings.Contains(out.String(), "too large") {
		t.Errorf("log:\n%s", out.String())
	}
}

func TestLookThatIsEnded(t *testing.T) {
	k := newFakeKubelet(t)
	k.hangs = true
	k.live()
	var out logs
	a := asking(t, k, Options{Log: out.logger()})
	a.within = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	equal(t, "sources", sources(a.Look(ctx, host())), "kubelet up=false bad=0")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if out.lines() != 0 {
		t.Errorf("the end of the program is no trouble of the kubelet's:\n%s", out.String())
	}
}
