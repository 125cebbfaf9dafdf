package assign

import "strings"

// names find GPUs by what others call them.
type names struct {
	ids      map[string]bool
	byID     map[string][]string // lower case, with old names of MIG instances
	byIndex  map[string][]string // "2", and "2.0" for MIG instances
	byDevice map[string][]string // "nvidia2", and "nvidia2/gi0" for MIG instances
}

func namesOf(gpus []GPU) *names {
	n := &names{ids: map[string]bool{}, byID: map[string][]string{}, byIndex: map[string][]string{}, byDevice: map[string][]string{}}
	for _, g := range gpus {
		if g.ID == "" || n.ids[g.ID] {
			continue
		}
		n.ids[g.ID] = true
		n.add(g)
	}
	return n
}

func (n *names) add(g GPU) {
	put := func(m map[string][]string, name string) { m[name] = append(m[name], g.ID) }
	put(n.byID, strings.ToLower(g.ID))
	minor := g.Minor
	if minor == "" {
		minor = g.Index
	}
	if g.Parent == "" {
		if g.Index != "" {
			put(n.byIndex, g.Index)
		}
		if minor != "" {
			put(n.byDevice, "nvidia"+minor)
		}
		return
	}
	if g.Instance == "" {
		return
	}
	put(n.byID, oldMIG(strings.ToLower(g.Parent), g.Instance))
	if g.Index != "" {
		put(n.byIndex, g.Index+"."+g.Instance)
	}
	if minor != "" {
		put(n.byDevice, "nvidia"+minor+"/gi"+g.Instance)
	}
}

// oldMIG is the name that drivers before 470 gave to a MIG instance, without its compute instance, in lower case.
func oldMIG(parent, instance string) string { return "mig-" + parent + "/" + instance + "/" }

// none reports whether no GPU is known at all, as while the driver is away: then nothing can be said about names.
func (n *names) none() bool { return len(n.ids) == 0 }

// configured finds what a person wrote: a UUID or an index.
func (n *names) configured(name string) []string {
	if isIndex(name) {
		return n.byIndex[name]
	}
	return n.byID[strings.ToLower(name)]
}

// file finds the GPUs of a mapping file: an index, an index and a GPU instance, or a UUID.
func (n *names) file(name string) []string {
	if ids := n.byIndex[name]; ids != nil {
		return ids
	}
	return n.byID[strings.ToLower(name)]
}

// device finds the GPUs of a device as device plugins call it. Where a GPU is shared, the number of the share is left out.
func (n *names) device(id string) []string {
	id, _, _ = strings.Cut(id, "::")
	if ids := n.byID[strings.ToLower(id)]; ids != nil {
		return ids
	}
	if strings.HasPrefix(id, "nvidia") {
		id, _, _ = strings.Cut(id, "/vgpu")
		return n.byDevice[id]
	}
	if i := strings.LastIndexByte(id, '/'); i >= 0 { // MIG-GPU-<uuid>/<gpu instance>/<compute instance>
		return n.byID[strings.ToLower(id[:i+1])]
	}
	return nil
}

// claimed finds the GPUs of a device of a resource claim by its UUID.
func (n *names) claimed(name string) []string {
	if i := strings.LastIndexByte(name, '='); i >= 0 {
		name = name[i+1:]
	}
	return n.byID[strings.ToLower(name)]
}

// numbered finds the GPU of a device of a resource claim as NVIDIA's driver calls it: gpu-2 is the GPU of /dev/nvidia2. The name of
// a MIG instance, gpu-2-mig-<profile>-<where it is>, cannot be told from what is known of instances.
func (n *names) numbered(name string) []string {
	number, ok := strings.CutPrefix(name, "gpu-")
	if !ok || !isIndex(number) {
		return nil
	}
	return n.byDevice["nvidia"+number]
}
