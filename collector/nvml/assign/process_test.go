//go:build unix

package assign

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proc is a directory like /proc.
type proc struct {
	t   *testing.T
	dir string
}

func newProc(t *testing.T) *proc { return &proc{t, t.TempDir()} }

func (p *proc) process(pid int, started string, environ ...string) {
	p.t.Helper()
	dir := filepath.Join(p.dir, strconv.Itoa(pid))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	write(p.t, dir, "stat", strconv.Itoa(pid)+" (python train.py) S"+strings.Repeat(" 1", 18)+" "+started+" 1 1\n")
	write(p.t, dir, "environ", strings.Join(environ, "\x00")+"\x00")
}

func (p *proc) config(variables ...string) Config {
	return Config{Environment: &Environment{Source: "slurm", Variables: variables, Proc: p.dir}}
}

func using(pids ...int) []GPU {
	gpus := host()
	gpus[0].PIDs = pids
	return gpus
}

func TestEnvironment(t *testing.T) {
	p := newProc(t)
	p.process(10, "1", "PATH=/bin", "SLURM_JOB_ID=17")
	p.process(11, "2", "SLURM_JOB_ID=17")
	p.process(12, "3", "SLURM_JOB_ID=bad\x01")
	p.process(13, "4", "SLURM_JOB_ID=99") // uses no GPU
	p.process(14, "5", "HOME=/")
	p.process(15, "6", "SLURM_JOB_ID=18")
	var out logs
	a := assigner(t, p.config("SLURM_JOB_ID"), Options{Log: out.logger()})
	gpus := using(10, 11, 12, 14, 0, -1, 10, 16)
	gpus[2].PIDs = []int{15, 10}
	for range 3 {
		r := a.Look(t.Context(), gpus)
		equal(t, "GPU 0", jobsOf(r, uuid0), "slurm/17")
		equal(t, "instance 1", jobsOf(r, mig10), "slurm/17 slurm/18")
		equal(t, "sources", sources(r), "environment up=true bad=1")
	}
	p.process(12, "30", "SLURM_JOB_ID=bad\x01") // another process with this number
	equal(t, "sources", sources(a.Look(t.Context(), gpus)), "environment up=true bad=2")
	if out.lines() != 1 {
		t.Errorf("log:\n%s", out.String())
	}
}

// Nothing of an environment but the values of variables on the list may leave: not into results, logs or errors.
func TestSecretsStayWhereTheyAre(t *testing.T) {
	const secret = "hunter2-c0rrect-h0rse"
	p := newProc(t)
	around := func(own string) []string {
		return []string{
			"WANDB_API_KEY=" + secret, secret + "=1", secret, own, "AWS_SECRET_ACCESS_KEY=" + secret,
			"SLURM_JOB_ID_=" + secret, "LONG=" + strings.Repeat(secret, 1000), "xSLURM_JOB_ID=" + secret, "PW=" + secret,
		}
	}
	for i, own := range []string{
		"SLURM_JOB_ID=17", "SLURM_JOB_ID=", "SLURM_JOB_ID", "SLURM_JOB_ID=\xff", "SLURM_JOB_ID=" + strings.Repeat("x", 200),
		"SLURM_JOB_ID=a\nlevel=ERROR", "OTHER=1",
	} {
		p.process(10+i, strconv.Itoa(i), around(own)...)
	}
	dir := filepath.Join(p.dir, "30")
	if err := os.MkdirAll(filepath.Join(dir, "environ"), 0o700); err != nil { // an environment that cannot be read
		t.Fatal(err)
	}
	write(t, dir, "stat", secret)
	var out logs
	a := assigner(t, p.config("SLURM_JOB_ID"), Options{Log: out.logger()})
	var said strings.Builder
	for range 3 {
		r := a.Look(t.Context(), using(10, 11, 12, 13, 14, 15, 16, 30, 31))
		equal(t, "GPU 0", jobsOf(r, uuid0), "slurm/17")
		fmt.Fprintf(&said, "%+v", r)
	}
	for _, pl := range a.places {
		e := pl.looker.(*environment)
		fmt.Fprintf(&said, "%+v %+v %+v %+v", pl.last, e.known, e.unseen, pl.example)
	}
	said.WriteString(out.String())
	for i := range len(secret) - 4 {
		if strings.Contains(said.String(), secret[i:i+4]) {
			t.Fatalf("%q came out:\n%s", secret[i:i+4], said.String())
		}
	}
	if strings.Contains(said.String(), "xxxx") {
		t.Errorf("a value that is no id of a job came out:\n%s", said.String())
	}
	equal(t, "bad", sources(a.Look(t.Context(), using(10, 13, 14, 15))), "environment up=true bad=3")
}

// A process that took another's number while it was read is neither.
func TestNumberThatIsUsedAgain(t *testing.T) {
	p := newProc(t)
	p.process(10, "1", "SLURM_JOB_ID=17")
	environ, stat := filepath.Join(p.dir, "10", "environ"), filepath.Join(p.dir, "10", "stat")
	if err := os.Remove(environ); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(environ, 0o600); err != nil { // whoever reads it waits for the test
		t.Fatal(err)
	}
	a := assigner(t, p.config("SLURM_JOB_ID"), Options{})
	feed := func(started string) {
		f, err := os.OpenFile(environ, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		other := strings.Replace(string(must(os.ReadFile(stat))), " 1 1 1\n", " "+started+" 1 1\n", 1)
		if err := os.WriteFile(stat, []byte(other), 0o600); err != nil {
			t.Error(err)
		}
		if _, err := f.WriteString("SLURM_JOB_ID=17\x00"); err != nil {
			t.Error(err)
		}
		f.Close()
	}
	go feed("1")
	equal(t, "the same process", jobsOf(a.Look(t.Context(), using(10)), uuid0), "slurm/17")
	go feed("2")
	equal(t, "another process", jobsOf(a.Look(t.Context(), using(10)), uuid0), "")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Processes that hang in the kernel cost the others nothing, and keep their job.
func TestProcessesThatHang(t *testing.T) {
	p := newProc(t)
	var pids []int
	for pid := 10; pid < 16; pid++ {
		p.process(pid, "1", "SLURM_JOB_ID="+strconv.Itoa(pid))
		pids = append(pids, pid)
	}
	var out logs
	a := assigner(t, p.config("SLURM_JOB_ID"), Options{Log: out.logger()})
	a.within = 300 * time.Millisecond
	all := "slurm/10 slurm/11 slurm/12 slurm/13 slurm/14 slurm/15"
	equal(t, "at first", jobsOf(a.Look(t.Context(), using(pids...)), uuid0), all)
	var hanging []string
	for pid := 10; pid < 15; pid++ {
		environ := filepath.Join(p.dir, strconv.Itoa(pid), "environ")
		if err := os.Remove(environ); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(environ, 0o600); err != nil {
			t.Fatal(err)
		}
		hanging = append(hanging, environ)
	}
	before := runtime.NumGoroutine()
	for range 5 {
		r := a.Look(t.Context(), using(pids...))
		equal(t, "while five hang", jobsOf(r, uuid0), all)
		equal(t, "sources", sources(r), "environment up=false bad=0")
	}
	p.process(15, "1", "SLURM_JOB_ID=99")
	equal(t, "the one that answers", jobsOf(a.Look(t.Context(), using(pids...)), uuid0), "slurm/10 slurm/11 slurm/12 slurm/13 slurm/14 slurm/99")
	if more := runtime.NumGoroutine() - before; more > 2*5+1 {
		t.Errorf("%d goroutines more", more)
	}
	if out.lines() != 1 || !strings.Contains(out.String(), "hang") {
		t.Errorf("log:\n%s", out.String())
	}
	for _, h := range hanging {
		f, err := os.OpenFile(h, os.O_RDWR, 0) // lets the reader go on
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

func TestProcessesThatCannotBeSeen(t *testing.T) {
	p := newProc(t)
	var out logs
	a := assigner(t, p.config("X"), Options{Log: out.logger()})
	equal(t, "one that just ended", sources(a.Look(t.Context(), using(5))), "environment up=true bad=0")
	equal(t, "another that just ended", sources(a.Look(t.Context(), using(6))), "environment up=true bad=0")
	equal(t, "one that is listed on", sources(a.Look(t.Context(), using(6, 7))), "environment up=false bad=0")
	if out.lines() != 1 || !strings.Contains(out.String(), "hostPID") {
		t.Errorf("log:\n%s", out.String())
	}
	p.process(7, "1", "X=1")
	equal(t, "one that can be seen", sources(a.Look(t.Context(), using(6, 7))), "environment up=true bad=0")
}

func TestProcessesOfOthers(t *testing.T) {
	e := newEnvironment(Environment{})
	if err := e.problem(1, 0, true); err == nil || !strings.Contains(err.Error(), "SYS_PTRACE") {
		t.Errorf("no permission: %v", err)
	}
	if os.Getuid() == 0 {
		t.Skip("root may read the environment of all")
	}
	a := assigner(t, Config{Environment: &Environment{Source: "s", Variables: []string{"PATH"}}}, Options{})
	equal(t, "process 1", sources(a.Look(t.Context(), using(1))), "environment up=false bad=0")
}

// The real thing: this process as the kernel shows it.
func TestOwnProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	want := os.Getenv("HOME")
	if !isJobID(want) {
		t.Skip("HOME cannot be the id of a job here")
	}
	a := assigner(t, Config{Environment: &Environment{Source: "s", Variables: []string{"HOME"}}}, Options{})
	r := a.Look(t.Context(), using(os.Getpid()))
	equal(t, "job", jobsOf(r, uuid0), "s/"+want)
	equal(t, "sources", sources(r), "environment up=true bad=0")
}

func TestMoreProcessesThanAllowed(t *testing.T) {
	p := newProc(t)
	var pids []int
	for i := range maxProcesses + 5 {
		pids = append(pids, 100+i)
	}
	p.process(100, "1", "X=1")
	a := assigner(t, p.config("X"), Options{})
	r := a.Look(t.Context(), using(pids...))
	equal(t, "job", jobsOf(r, uuid0), "slurm/1")
	equal(t, "sources", sources(r), "environment up=true bad=1")
}
