package nvmltest

import (
	"maps"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// Open opens the host whose state the file holds. The file is read again whenever it was replaced; while it cannot be read,
// what was read last holds.
func Open(file string) (driver.Driver, error) { return New(Options{File: file}) }

// Options configure a driver.
type Options struct {
	File string
	// State, if set, is asked instead of a file: for a host in the same process.
	State func() State
	Now   func() time.Time // default time.Now
	// Poll is how often a call that hangs, or that waits for an XID, looks again; default 50 ms.
	Poll time.Duration
}

// New is Open with options.
func New(o Options) (driver.Driver, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Poll <= 0 {
		o.Poll = 50 * time.Millisecond
	}
	d := &host{o: o}
	if err := d.load(); err != nil {
		return nil, &driver.Error{Kind: driver.NoDriver, Op: "nvmlInit_v2", Code: codeNoDriver, Text: err.Error()}
	}
	return d, nil
}

// What the real library would answer.
const (
	codeNotFound = 6
	codeNoDriver = 9
	codeLost     = 15
)

type host struct {
	o Options

	mu    sync.Mutex
	file  os.FileInfo
	state *State // never changed, only replaced
}

// load reads the file if it is another one than before.
func (h *host) load() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.o.State != nil {
		s, first := h.o.State(), h.state == nil
		h.state = &s
		if first {
			return s.check()
		}
		return nil
	}
	file, err := os.Stat(h.o.File)
	if err != nil {
		return err
	}
	if was := h.file; was != nil && os.SameFile(was, file) && was.ModTime().Equal(file.ModTime()) && was.Size() == file.Size() {
		return nil
	}
	s, err := ReadState(h.o.File)
	if err != nil {
		return err
	}
	h.file, h.state = file, s
	return nil
}

// look is the state of now.
func (h *host) look() (*State, time.Time) {
	_ = h.load() // what was read last holds
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state, h.o.Now()
}

// Versions implements driver.Driver.
func (h *host) Versions() collector.DriverVersions { return versions() }

// Count implements driver.Driver.
func (h *host) Count() (int, error) { return len(counted(h.look())), nil }

// counted are the places of the GPUs that the driver still counts.
func counted(s *State, now time.Time) []int {
	var at []int
	for i := range s.GPUs {
		if s.GPUs[i].spell(now).Mode != Gone {
			at = append(at, i)
		}
	}
	return at
}

// Open implements driver.Driver.
func (h *host) Open(index int) (driver.Device, error) {
	const op = "nvmlDeviceGetHandleByIndex_v2"
	s, now := h.look()
	places := counted(s, now)
	if index < 0 || index >= len(places) {
		return nil, &driver.Error{Kind: driver.Failed, Op: op, Code: codeNotFound, Text: "Not Found"}
	}
	d := &device{h: h, id: s.GPUs[places[index]].ID, index: index}
	if _, err := d.now(op); err != nil {
		return nil, err
	}
	return d, nil
}

// Events implements driver.Driver. What happened before is not told.
func (h *host) Events(devices []driver.Device) (driver.Events, error) {
	e := &events{h: h, of: map[string]bool{}, told: map[uint64]bool{}}
	for _, d := range devices {
		if g, ok := d.(*device); ok {
			e.of[g.id] = true
		}
	}
	s, now := h.look()
	for _, x := range s.XIDs {
		e.told[x.Seq] = !x.At.After(now)
	}
	return e, nil
}

// events tells each XID once, when its time has come.
type events struct {
	h    *host
	of   map[string]bool
	told map[uint64]bool
}

// Wait implements driver.Events.
func (e *events) Wait(d time.Duration) (driver.XID, bool, error) {
	for end := e.h.o.Now().Add(d); ; {
		s, now := e.h.look()
		maps.DeleteFunc(e.told, func(seq uint64, _ bool) bool { return len(s.XIDs) == 0 || seq < s.XIDs[0].Seq })
		for _, x := range s.XIDs {
			if x.At.After(now) || e.told[x.Seq] {
				continue
			}
			e.told[x.Seq] = true
			if e.of[x.GPU] {
				return driver.XID{ID: x.GPU, Code: x.Code}, true, nil
			}
		}
		left := end.Sub(now)
		if left <= 0 {
			return driver.XID{}, false, nil
		}
		time.Sleep(min(e.h.o.Poll, left))
	}
}

// device is a handle of a GPU.
type device struct {
	h     *host
	id    string
	index int
}

// now is the GPU as it is, once it answers. A GPU that hangs answers when it does not any more.
func (d *device) now(op string) (*moment, error) {
	for ; ; time.Sleep(d.h.o.Poll) {
		s, now := d.h.look()
		i := s.place(d.id)
		if i < 0 {
			return nil, d.lost(op)
		}
		n := s.virtual(i).now(now)
		switch n.sp.Mode {
		case Hang:
			continue
		case Lost, Gone:
			return nil, d.lost(op)
		}
		return n, nil
	}
}

func (s *State) place(id string) int {
	for i := range s.GPUs {
		if s.GPUs[i].ID == id {
			return i
		}
	}
	return -1
}

func (d *device) lost(op string) error {
	return &driver.Error{Kind: driver.Lost, Op: op, Code: codeLost, Text: "GPU is lost"}
}

// Identity implements driver.Device.
func (d *device) Identity() (driver.Identity, error) {
	n, err := d.now("nvmlDeviceGetUUID")
	if err != nil {
		return driver.Identity{}, err
	}
	return driver.Identity{ID: d.id, Info: n.info(d.index)}, nil
}

func (v *virtual) info(index int) collector.GPUInfo {
	bus := strconv.FormatInt(int64(v.index)+1, 16)
	if v.index < len(buses) {
		bus = buses[v.index]
	}
	return collector.GPUInfo{
		Index: strconv.Itoa(index), Name: v.m.name, VBIOS: v.m.vbios, PCIBusID: "00000000:" + bus + ":00.0", Minor: strconv.Itoa(v.index),
		Serial: strconv.Itoa(1_650_000_000_000 + int(between(0, 9e9, v.g.ID, "serial"))),
	}
}

// Instances implements driver.Device.
func (d *device) Instances() ([]driver.Device, error) {
	n, err := d.now("nvmlDeviceGetMigMode")
	if err != nil {
		return nil, err
	}
	var all []driver.Device
	for i := range n.g.MIG {
		all = append(all, &instance{gpu: d, number: i})
	}
	return all, nil
}

// Read implements driver.Device.
func (d *device) Read(g driver.Group, to *driver.Values) error {
	n, err := d.now("read " + g.String())
	if err != nil {
		return err
	}
	r := reading{n, to}
	switch g {
	case driver.Load:
		r.load()
	case driver.Fields:
		r.fields()
	case driver.Health:
		r.health()
	case driver.Profile:
		r.profiling()
	case driver.Processes:
		r.processes(d.index)
	}
	return nil
}
