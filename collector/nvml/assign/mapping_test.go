package assign

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseMapping(t *testing.T) {
	long := strings.Repeat("x", maxIDBytes)
	for _, c := range []struct {
		in   string
		jobs []string
		bad  []int
	}{
		{"", nil, nil},
		{"\n\n \t\r\n", nil, nil},
		{"17", []string{"17"}, nil},
		{"17\n18\n", []string{"17", "18"}, nil},
		{" 17 \r\n\r\n18\r\n", []string{"17", "18"}, nil},
		{"17 1000\n18\t1001\n", []string{"17", "18"}, nil}, // with the user
		{"0\n", nil, nil},                                  // what an epilog writes
		{"0 1000\n0\n17\n", []string{"17"}, nil},
		{"\ufeff17\n", []string{"17"}, nil},
		{"a b c\n17\n", []string{"17"}, []int{1}},
		{"17\n\xff\xfe\n", []string{"17"}, []int{2}},
		{"17\n\x00\x00\x00\n18\n", []string{"17", "18"}, []int{2}},
		{"job_1.2+3[4]/é\n", []string{"job_1.2+3[4]/é"}, nil},
		{long + "\n" + long + "x\n", []string{long}, []int{2}},
		{"a\u202eb\n", nil, []int{1}}, // text that turns its direction
	} {
		m := parseMapping([]byte(c.in))
		if !slices.Equal(m.jobs, c.jobs) || !slices.Equal(m.bad, c.bad) {
			t.Errorf("%.40q: got %q, bad lines %v; want %q, %v", c.in, m.jobs, m.bad, c.jobs, c.bad)
		}
	}
}

func FuzzParseMapping(f *testing.F) {
	for _, s := range []string{"", "17\n18\n", "17 1000\r\n", "\xff\n", "0", "\ufeff1", "a b c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := parseMapping(data)
		lines := strings.Split(string(data), "\n")
		if len(m.jobs)+len(m.bad) > len(lines) {
			t.Fatalf("%d lines gave %d jobs and %d bad lines", len(lines), len(m.jobs), len(m.bad))
		}
		for _, j := range m.jobs {
			if !utf8.ValidString(j) || !isJobID(j) || j == "0" || strings.ContainsAny(j, " \t\n") {
				t.Fatalf("%q is a job", j)
			}
			if !strings.Contains(string(data), j) {
				t.Fatalf("%q does not stand in the file", j)
			}
		}
		// A file of what was read reads the same.
		again := parseMapping([]byte(strings.Join(m.jobs, "\n") + "\n"))
		if !slices.Equal(again.jobs, m.jobs) || again.bad != nil {
			t.Fatalf("%q became %q", m.jobs, again.jobs)
		}
	})
}

func TestNames(t *testing.T) {
	n := namesOf(append(host(), GPU{ID: uuid0, Index: "9"}, GPU{})) // neither one twice nor one without id is taken
	for _, c := range []struct {
		find func(string) []string
		what string
		name string
		want []string
	}{
		{n.file, "file", "0", []string{uuid0}},
		{n.file, "file", "1", []string{uuid1}},
		{n.file, "file", "1.1", []string{mig10}},
		{n.file, "file", "1.7", []string{mig17}},
		{n.file, "file", uuid0, []string{uuid0}},
		{n.file, "file", mig17, []string{mig17}},
		{n.file, "file", "2", nil},
		{n.file, "file", "00", nil},
		{n.file, "file", "1.2", nil},
		{n.file, "file", "nvidia0", nil},
		{n.configured, "configured", "0", []string{uuid0}},
		{n.configured, "configured", "9", nil},
		{n.configured, "configured", "1.1", nil},
		{n.configured, "configured", mig10, []string{mig10}},
		{n.configured, "configured", uuid0[:20], nil}, // no prefixes
		{n.device, "device", uuid0, []string{uuid0}},
		{n.device, "device", uuid0 + "::3", []string{uuid0}},
		{n.device, "device", mig10, []string{mig10}},
		{n.device, "device", mig10 + "::0", []string{mig10}},
		{n.device, "device", "MIG-" + uuid1 + "/7/0", []string{mig17}},
		{n.device, "device", "MIG-" + uuid1 + "/2/0", nil},
		{n.device, "device", "nvidia0", []string{uuid0}},
		{n.device, "device", "nvidia0/vgpu1", []string{uuid0}},
		{n.device, "device", "nvidia3", []string{uuid1}},
		{n.device, "device", "nvidia1", nil}, // the number of the device file, not the index
		{n.device, "device", "nvidia3/gi7", []string{mig17}},
		{n.device, "device", "nvidia3/gi7/vgpu0", []string{mig17}},
		{n.device, "device", "nvidia3/gi70", nil},
		{n.device, "device", uuid0 + "-0", nil}, // replicas of others, who assign GPUs themselves
		{n.device, "device", "0", nil},
		{n.device, "device", "", nil},
		{n.device, "device", "/", nil},
		{n.device, "device", "::", nil},
		{n.claimed, "claimed", "nvidia.com/gpu=" + uuid0, []string{uuid0}},
		{n.claimed, "claimed", strings.ToLower(uuid0), []string{uuid0}},
		{n.claimed, "claimed", "gpu-0", nil},
	} {
		if got := c.find(c.name); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: got %q, want %q", c.what, c.name, got, c.want)
		}
	}
	for _, id := range []string{"", "0"} { // a GPU whose numbers are not known is found by id only
		if ids := namesOf([]GPU{{ID: "GPU-a"}}).device("nvidia" + id); ids != nil {
			t.Errorf("nvidia%s is %q", id, ids)
		}
	}
}

func FuzzDevice(f *testing.F) {
	for _, s := range []string{uuid0, uuid0 + "::3", "MIG-" + uuid1 + "/7/0", "nvidia3/gi7/vgpu0", "nvidia0", "::", "/"} {
		f.Add(s)
	}
	n := namesOf(host())
	f.Fuzz(func(t *testing.T, id string) {
		for _, find := range []func(string) []string{n.device, n.file, n.claimed, n.numbered, n.configured} {
			for _, found := range find(id) {
				if !n.ids[found] {
					t.Fatalf("%q is %q, which is no GPU", id, found)
				}
				if !strings.ContainsAny(id, "01237") {
					t.Fatalf("%q is %q", id, found)
				}
			}
		}
		if strings.HasSuffix(id, ":") { // with the next line's colons it would be cut elsewhere
			return
		}
		if a, b := n.device(id), n.device(id+"::7"); !slices.Equal(a, b) {
			t.Fatalf("a share of %q is another GPU: %q, %q", id, a, b)
		}
	})
}
