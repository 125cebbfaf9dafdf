package assign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"
)

const (
	// maxAnswer bounds an answer of the kubelet. A node with the most pods that Kubernetes supports makes a tenth of it.
	maxAnswer = 16 << 20
	// gpuDriver is NVIDIA's driver for dynamic resources. Others' devices are no GPUs of ours.
	gpuDriver = "gpu.nvidia.com"
)

// kubelet asks the kubelet for the pods that have GPUs.
type kubelet struct {
	Kubelet
	conn   *grpc.ClientConn
	client podresources.PodResourcesListerClient
}

// newKubelet connects when it is first asked. A connection that breaks is made again by gRPC.
func newKubelet(c Kubelet) (*kubelet, error) {
	k := &kubelet{Kubelet: c}
	var err error
	k.conn, err = grpc.NewClient("passthrough:///localhost",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", c.Socket)
		}),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 500 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: patience,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("kubelet: %w", err)
	}
	k.client = podresources.NewPodResourcesListerClient(k.conn)
	return k, nil
}

func (k *kubelet) close() error { return k.conn.Close() }

func (k *kubelet) look(ctx context.Context, _ []GPU, n *names) (*found, error) {
	if _, err := os.Stat(k.Socket); err != nil {
		return nil, k.missing(err)
	}
	answer, err := k.client.List(ctx, &podresources.ListPodResourcesRequest{})
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, context.Canceled) {
			return nil, cause
		}
		return nil, k.problem(err)
	}
	f := newFound()
	for _, pod := range answer.GetPodResources() {
		for _, c := range pod.GetContainers() {
			k.container(pod, c, n, f)
		}
	}
	return f, nil
}

// container adds the GPUs of a container.
func (k *kubelet) container(pod *podresources.PodResources, c *podresources.ContainerResources, n *names, f *found) {
	p := collector.Pod{
		Namespace: collector.Clean(pod.GetNamespace()), Name: collector.Clean(pod.GetName()), Container: collector.Clean(c.GetName()),
	}
	give := func(device string, ids []string) {
		switch {
		case p.Name == "" || p.Namespace == "":
			f.bad.add("nobody\n"+device, fmt.Sprintf("device %s is given to a pod without a name", collector.Clean(device)))
		case ids == nil && n.none():
		case ids == nil:
			f.bad.add(p.Namespace+"\n"+p.Name+"\n"+p.Container+"\n"+device,
				fmt.Sprintf("device %s of pod %s/%s: no GPU is called so", collector.Clean(device), p.Namespace, p.Name))
		}
		if p.Name == "" || p.Namespace == "" {
			return
		}
		for _, id := range ids {
			f.pods[id] = append(f.pods[id], p)
		}
	}
	for _, d := range c.GetDevices() {
		if !k.isGPU(d.GetResourceName()) {
			continue
		}
		for _, id := range d.GetDeviceIds() {
			give(id, n.device(id))
		}
	}
	for _, claim := range c.GetDynamicResources() {
		for _, r := range claim.GetClaimResources() {
			if r.GetDriverName() == gpuDriver {
				give("claimed "+r.GetPoolName()+"/"+r.GetDeviceName(), claimed(r, n))
			}
		}
	}
}

// claimed finds the GPUs of a claim of NVIDIA's driver: by the UUID that is the name of the device, or of a CDI device that stands
// for it, or else by the number of its device file, as in gpu-2. MIG instances are found only by a UUID; others are counted as not
// understood.
func claimed(r *podresources.ClaimResource, n *names) []string {
	if ids := n.claimed(r.GetDeviceName()); ids != nil {
		return ids
	}
	var ids []string
	for _, d := range r.GetCdiDevices() {
		ids = append(ids, n.claimed(d.GetName())...)
	}
	if ids != nil {
		return ids
	}
	return n.numbered(r.GetDeviceName())
}

func (k *kubelet) isGPU(resource string) bool {
	for _, pattern := range k.Resources {
		if ok, err := path.Match(pattern, resource); ok && err == nil {
			return true
		}
	}
	return false
}

// missing says what to do about a socket that cannot be found.
func (k *kubelet) missing(err error) error {
	dir := strings.TrimSuffix(path.Dir(k.Socket), "/")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no socket: mount the node's directory %s into the container, read-only; "+
			"a kubelet before 1.28 may also need its feature gate KubeletPodResources", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission: let the user of this process into %s", dir)
	default:
		return errors.New(reasonOf(err))
	}
}

// problem says what to do about an answer that did not come.
func (k *kubelet) problem(err error) error {
	s := status.Convert(err)
	words := collector.Clean(s.Message())
	switch s.Code() {
	case codes.Unimplemented:
		return errors.New("the kubelet does not know the pod resources API v1: it must be 1.20 or later, with feature gate KubeletPodResources")
	case codes.DeadlineExceeded:
		return fmt.Errorf("the kubelet does not answer within %s", patience)
	case codes.Unavailable:
		if strings.Contains(s.Message(), "permission denied") {
			return errors.New("no permission to connect: the kubelet's socket belongs to root; run as root or set the group of the socket's owner")
		}
		return fmt.Errorf("no connection to the kubelet: %s", words)
	case codes.ResourceExhausted:
		return fmt.Errorf("the kubelet's answer is too large or it is asked too often, use a longer interval: %s", words)
	default:
		return fmt.Errorf("the kubelet refuses: %s", words)
	}
}
