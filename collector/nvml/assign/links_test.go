//go:build unix

package assign

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWhatIsNotReadOfADirectory: what links lead to outside of it, pipes and devices. Who reads metrics or the log sees nothing of it.
func TestWhatIsNotReadOfADirectory(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "shadow", "root:$6$s3cret:19000:0:99999:7:::\n")
	dir := filepath.Join(outside, "jobs")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o700))
	must(os.Mkdir(filepath.Join(dir, "..2026"), 0o700)) // as Kubernetes mounts a ConfigMap
	must(os.Symlink("..2026", filepath.Join(dir, "..data")))
	write(t, dir, "..2026/0", "17\n")
	must(os.Symlink("..data/0", filepath.Join(dir, "0")))
	bad := []string{
		filepath.Join(outside, "shadow"),  // absolute
		"../shadow",                       // up
		"..data/../../shadow",             // in, and up
		filepath.Join(dir, "..2026", "0"), // absolute, but to the directory's own
		"../jobs/..2026/0",                // out and in again
	}
	gpus := host()
	for i, to := range bad {
		gpus = append(gpus, GPU{ID: fmt.Sprintf("GPU-b%d", i), Index: fmt.Sprint(10 + i)})
		must(os.Symlink(to, filepath.Join(dir, fmt.Sprint(10+i))))
	}
	must(os.Symlink("..", filepath.Join(dir, "up")))
	gpus = append(gpus, GPU{ID: "GPU-up", Index: "up"}, GPU{ID: "GPU-pipe", Index: "20"}, GPU{ID: "GPU-null", Index: "21"})
	must(syscall.Mkfifo(filepath.Join(dir, "20"), 0o600))
	want := len(bad) + 2
	if err := syscall.Mknod(filepath.Join(dir, "21"), syscall.S_IFCHR|0o600, 1<<8|5); err == nil { // zero
		want++
	} else {
		t.Logf("without a device: %v", err)
	}
	var out logs
	a := assigner(t, Config{MappingDirectories: []Directory{{Path: dir, Source: "s"}}}, Options{Log: out.logger()})
	began := time.Now()
	r := a.Look(t.Context(), gpus)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	equal(t, "a link inside", jobsOf(r, uuid0), "s/17")
	if len(r.Jobs) != 1 {
		t.Errorf("jobs: %v", r.Jobs)
	}
	equal(t, "sources", sources(r), fmt.Sprintf("files up=true bad=%d", want))
	if log := out.String(); strings.Contains(log, "s3cret") || strings.Contains(log, "root") || !strings.Contains(log, "is not followed") {
		t.Error(log)
	}
	// What becomes of a file between two looks is looked at anew.
	must(os.Remove(filepath.Join(dir, "..2026", "0")))
	must(os.Symlink("../../shadow", filepath.Join(dir, "..2026", "0")))
	r = a.Look(t.Context(), gpus)
	if len(r.Jobs) != 0 {
		t.Errorf("jobs: %v", r.Jobs)
	}
	equal(t, "sources", sources(r), fmt.Sprintf("files up=true bad=%d", want+1))
}

// TestFileThatBecomesAnother between the look at it and its opening.
func TestFileThatBecomesAnother(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "jobs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, outside, "shadow", "root\n")
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Remove(filepath.Join(dir, "new"))
			switch i % 3 {
			case 0:
				_ = os.WriteFile(filepath.Join(dir, "new"), []byte("17\n"), 0o600)
			case 1:
				_ = os.Symlink("../shadow", filepath.Join(dir, "new"))
			case 2:
				_ = syscall.Mkfifo(filepath.Join(dir, "new"), 0o600)
			}
			_ = os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "0"))
		}
	}()
	d := newDirectory(Directory{Path: dir, Source: "s"})
	read, refused := 0, 0
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		switch r, err := d.readFile(root, "0"); {
		case err != nil:
			refused++
		case string(r.data) != "17\n" && string(r.data) != "":
			t.Fatalf("%q was read", r.data)
		default:
			read++
		}
	}
	close(stop)
	<-done
	if read == 0 || refused == 0 {
		t.Errorf("%d times a file, %d times none", read, refused)
	}
}
