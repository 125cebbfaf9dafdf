//go:build unix

package assign

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	var out logs
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "slurm"}, {Path: other, Source: "pbs"}}}, Options{Log: out.logger()})
	write(t, dir, "0", "17\n18 1000\n\n17\n")
	write(t, dir, "1.7", "19")
	write(t, dir, mig10, "20\n")
	write(t, other, "0", "17\n")
	r := a.Look(t.Context(), host())
	equal(t, "GPU 0", jobsOf(r, uuid0), "pbs/17 slurm/17 slurm/18")
	equal(t, "GPU 1", jobsOf(r, uuid1), "")
	equal(t, "instance 1", jobsOf(r, mig10), "slurm/20")
	equal(t, "instance 7", jobsOf(r, mig17), "slurm/19")
	equal(t, "sources", sources(r), "files up=true bad=0")

	write(t, dir, "0", "0\n") // a scheduler's way to say that no job runs
	if err := os.Remove(filepath.Join(dir, "1.7")); err != nil {
		t.Fatal(err)
	}
	r = a.Look(t.Context(), host())
	equal(t, "GPU 0", jobsOf(r, uuid0), "pbs/17")
	equal(t, "instance 7", jobsOf(r, mig17), "")
	equal(t, "sources", sources(r), "files up=true bad=0")
	equal(t, "log", out.String(), "")
}

func TestDirectoryThatDoesNotExistYet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	var out logs
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "slurm"}}}, Options{Log: out.logger()})
	for range 50 {
		equal(t, "sources", sources(a.Look(t.Context(), host())), "files up=false bad=0")
	}
	if out.lines() != 1 || !strings.Contains(out.String(), "create it") {
		t.Errorf("50 looks made this log:\n%s", out.String())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "0", "17\n")
	r := a.Look(t.Context(), host())
	equal(t, "sources", sources(r), "files up=true bad=0")
	equal(t, "GPU 0", jobsOf(r, uuid0), "slurm/17")
	if out.lines() != 2 {
		t.Errorf("the log does not say that it is there:\n%s", out.String())
	}
}

// Nothing that stands in a directory may hang, fail or fill the log.
func TestStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	var out logs
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "s"}}}, Options{Log: out.logger()})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	gpus := host()
	for i := range 8 {
		gpus = append(gpus, GPU{ID: fmt.Sprintf("GPU-b%d", i), Index: fmt.Sprint(10 + i)})
	}
	write(t, dir, "0", "1\n\xff\xfe\n2 3 4\n") // two bad lines
	write(t, dir, "7", "5\n")                  // no such GPU
	write(t, dir, "README", "hello")           // the same
	write(t, dir, ".0.swp", "6\n")
	write(t, dir, "0.tmp", "6\n")
	write(t, dir, "0~", "6\n")
	must(os.Mkdir(filepath.Join(dir, "1"), 0o700))
	must(os.Symlink("0", filepath.Join(dir, "1.7")))
	must(os.Symlink("nowhere", filepath.Join(dir, "10")))
	must(os.Symlink("11", filepath.Join(dir, "11"))) // one bad: a circle
	must(os.Symlink("1", filepath.Join(dir, "12")))
	must(os.Symlink("/dev/zero", filepath.Join(dir, "13")))         // one bad
	must(syscall.Mkfifo(filepath.Join(dir, "14"), 0o600))           // one bad
	write(t, dir, "15", strings.Repeat("x", 10<<20))                // one bad
	write(t, dir, "16", strings.Repeat(fmt.Sprintln("job"), 1<<21)) // one bad, and a job
	write(t, dir, "17", "")
	var r Result
	for range 20 {
		start := time.Now()
		r = a.Look(t.Context(), gpus)
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("a look took %s", took)
		}
	}
	equal(t, "GPU 0", jobsOf(r, uuid0), "s/1")
	equal(t, "link", jobsOf(r, mig17), "s/1")
	equal(t, "long file", jobsOf(r, "GPU-b6"), "s/job")
	if len(r.Jobs) != 3 {
		t.Errorf("other GPUs have jobs: %v", r.Jobs)
	}
	// The link shows its file's two bad lines once more.
	equal(t, "sources", sources(r), "files up=true bad=11")
	if out.lines() != 1 {
		t.Errorf("20 looks made this log:\n%s", out.String())
	}
	write(t, dir, "0", "1\n2 3 4\n") // another content: the bad line counts anew, by both names
	equal(t, "sources", sources(a.Look(t.Context(), gpus)), "files up=true bad=13")
	equal(t, "without GPUs", sources(a.Look(t.Context(), nil)), "files up=true bad=13")
}

func TestMoreFilesThanAllowed(t *testing.T) {
	dir := t.TempDir()
	var gpus []GPU
	for i := range maxFiles + 10 {
		write(t, dir, fmt.Sprint(i), "17\n")
		gpus = append(gpus, GPU{ID: fmt.Sprintf("GPU-%d", i), Index: fmt.Sprint(i)})
	}
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "s"}}}, Options{})
	r := a.Look(t.Context(), gpus)
	if len(r.Jobs) != maxFiles {
		t.Errorf("%d GPUs have jobs", len(r.Jobs))
	}
	equal(t, "sources", sources(r), "files up=true bad=1")
}

func TestFileThatMayNotBeRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	write(t, dir, "0", "17\n")
	if err := os.Chmod(filepath.Join(dir, "0"), 0); err != nil {
		t.Fatal(err)
	}
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "s"}}}, Options{})
	equal(t, "sources", sources(a.Look(t.Context(), host())), "files up=true bad=1")
}

// A file that changes while it is looked at keeps what it held, for a while; a look that is ended believes nothing new.
func TestFileThatIsBeingWritten(t *testing.T) {
	dir := t.TempDir()
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "s"}}}, Options{})
	d := a.places[0].looker.(*directory)
	still := d.pause
	write(t, dir, "0", "1\n")
	equal(t, "at first", jobsOf(a.Look(t.Context(), host()), uuid0), "s/1")
	n := 0
	d.pause = func(context.Context, time.Duration) error {
		n++
		write(t, dir, "0", strings.Repeat("2", n))
		return nil
	}
	write(t, dir, "0", "2")
	for range 5 {
		equal(t, "while it changes", jobsOf(a.Look(t.Context(), host()), uuid0), "s/1")
	}
	v := d.files["0"]
	v.at = v.at.Add(-keepFor)
	d.files["0"] = v
	equal(t, "when it has changed for a minute", jobsOf(a.Look(t.Context(), host()), uuid0), "")
	d.pause = still
	equal(t, "when it is done", jobsOf(a.Look(t.Context(), host()), uuid0), "s/"+string(bytes.Repeat([]byte("2"), n)))
}

// counting counts what is read of files.
type counting struct {
	fs.File
	n *int
}

func (c counting) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	*c.n += n
	return n, err
}

func TestHowMuchIsReadOfAFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "0", strings.Repeat("1\n", 5<<20))
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "s"}}}, Options{})
	n := 0
	a.places[0].looker.(*directory).open = func(dir *os.Root, name string) (fs.File, error) {
		f, err := openFile(dir, name)
		return counting{f, &n}, err
	}
	equal(t, "GPU 0", jobsOf(a.Look(t.Context(), host()), uuid0), "s/1")
	if n > 2*(maxFileBytes+1) {
		t.Errorf("%d bytes were read", n)
	}
}
