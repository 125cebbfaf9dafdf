package assign

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"
)

func TestChoose(t *testing.T) {
	vars := []string{"TRAINBRIDGE_JOB_ID", "SLURM_JOB_ID"}
	long := strings.Repeat("y", 3*entryBytes)
	for _, c := range []struct {
		name, environ, variable, job string
	}{
		{"nothing", "", "", ""},
		{"other variables", "PATH=/bin\x00SLURM_JOB_IDS=1\x00XSLURM_JOB_ID=2\x00SLURM_JOB_ID\x00=3\x00", "", ""},
		{"one", "PATH=/bin\x00SLURM_JOB_ID=17\x00X=1\x00", "SLURM_JOB_ID", "17"},
		{"the first of the list", "SLURM_JOB_ID=17\x00TRAINBRIDGE_JOB_ID=a\x00", "TRAINBRIDGE_JOB_ID", "a"},
		{"an empty one is none", "SLURM_JOB_ID=17\x00TRAINBRIDGE_JOB_ID=\x00", "SLURM_JOB_ID", "17"},
		{"the first of two", "SLURM_JOB_ID=17\x00SLURM_JOB_ID=18\x00", "SLURM_JOB_ID", "17"},
		{"the first of two, empty", "SLURM_JOB_ID=\x00SLURM_JOB_ID=18\x00", "", ""},
		{"no end", "X=1\x00SLURM_JOB_ID=17", "SLURM_JOB_ID", "17"},
		{"with an equals sign", "SLURM_JOB_ID=a=b\x00", "SLURM_JOB_ID", "a=b"},
		{"not printable", "SLURM_JOB_ID=a\nb\x00", "SLURM_JOB_ID", ""},
		{"not UTF-8", "SLURM_JOB_ID=\xff\x00", "SLURM_JOB_ID", ""},
		{"128 bytes", "SLURM_JOB_ID=" + long[:128] + "\x00", "SLURM_JOB_ID", long[:128]},
		{"129 bytes", "SLURM_JOB_ID=" + long[:129] + "\x00", "SLURM_JOB_ID", ""},
		{"very long", "SLURM_JOB_ID=" + long + "\x00X=1\x00", "SLURM_JOB_ID", ""},
		{"after a very long one", "A=" + long + "\x00SLURM_JOB_ID=17\x00", "SLURM_JOB_ID", "17"},
		{"inside of a very long one", "A=" + long[:entryBytes-2] + "SLURM_JOB_ID=17\x00", "", ""},
		{"only zeros", strings.Repeat("\x00", 100_000) + "SLURM_JOB_ID=17\x00", "SLURM_JOB_ID", "17"},
		{"after a MiB", strings.Repeat("A=1\x00", maxEnviron/4) + "SLURM_JOB_ID=17\x00", "", ""},
		{"cut by the MiB", strings.Repeat("A=1\x00", maxEnviron/4-4) + "SLURM_JOB_ID=1700\x00", "", ""},
	} {
		for _, r := range []func(string) (choice, error){
			func(s string) (choice, error) { return choose(strings.NewReader(s), vars) },
			func(s string) (choice, error) { return choose(iotest.OneByteReader(strings.NewReader(s)), vars) },
		} {
			got, err := r(c.environ)
			if err != nil || got.variable != c.variable || got.job != c.job {
				t.Errorf("%s: %+v, %v; want %q, %q", c.name, got, err, c.variable, c.job)
			}
		}
	}
	wrong := errors.New("wrong")
	if _, err := choose(iotest.ErrReader(wrong), vars); !errors.Is(err, wrong) {
		t.Errorf("an error became %v", err)
	}
}

// Whatever the environment is, what comes out is the value of a variable on the list.
func FuzzChoose(f *testing.F) {
	for _, s := range []string{"A=1\x00J=17\x00", "J=\x00", "J=" + strings.Repeat("x", 5000), "J\x00J=1", "=\x00J=1\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, environ []byte) {
		c, err := choose(strings.NewReader(string(environ)), []string{"J"})
		if err != nil {
			t.Fatal(err)
		}
		want := ""
		for entry := range strings.SplitSeq(string(environ), "\x00") {
			if v, ok := strings.CutPrefix(entry, "J="); ok {
				want = v
				break
			}
		}
		if !isJobID(want) {
			want = ""
		}
		if c.job != want {
			t.Fatalf("got %q, want %q", c.job, want)
		}
	})
}

func TestStartTime(t *testing.T) {
	fields := "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 19 20"
	for in, want := range map[string]string{
		"12 (python) " + fields: "4711", "12 (a) R 1 (b) " + fields: "4711", "12 (a\nb) " + fields + "\n": "4711",
		"": "", "12 (python": "", "12 (python) S 1": "",
	} {
		if got, ok := startTime([]byte(in)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %t", in, got, ok)
		}
	}
}
