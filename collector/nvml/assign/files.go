package assign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

const (
	maxFileBytes = 64 << 10
	maxFiles     = 4096
	// settle is how long a file must stay as it is to be believed: one that is written in place is half-written for a while.
	settle = 250 * time.Millisecond
)

var (
	// errNotFile is what stands in for a file where there is none: a pipe, a device.
	errNotFile = errors.New("it is not a regular file")
	// errLink is a link that is not followed. What it names may be a secret, and what files hold is shown to all who read metrics.
	errLink = errors.New("it is a link that leads nowhere or out of the directory, and is not followed: links must be relative")
)

// directory is a directory of mapping files.
type directory struct {
	Directory
	files map[string]version // as they were last believed

	open  func(dir *os.Root, name string) (fs.File, error)
	pause func(context.Context, time.Duration) error
}

func newDirectory(d Directory) *directory {
	return &directory{Directory: d, files: map[string]version{}, open: openFile, pause: pause}
}

// version is what a file held when it was believed.
type version struct {
	data string
	mapping
	over bool // the file is longer than what is read of it
	at   time.Time
}

// reading is a file as it was read once.
type reading struct {
	name          string
	data          []byte
	over          bool
	before, after fs.FileInfo
}

// still reports whether a file was not written to between two readings.
func (r reading) still(later reading) bool {
	first, last := r.before, later.after
	return os.SameFile(first, last) && first.Size() == last.Size() && first.ModTime().Equal(last.ModTime()) &&
		bytes.Equal(r.data, later.data)
}

func (d *directory) look(ctx context.Context, _ []GPU, n *names) (*found, error) {
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		return nil, d.problem(err)
	}
	defer root.Close()
	entries, err := d.list(root)
	if err != nil {
		return nil, err
	}
	f := newFound()
	if len(entries) > maxFiles {
		f.bad.add(d.Path, fmt.Sprintf("the directory has more than %d files", maxFiles))
		entries = entries[:maxFiles]
	}
	now := map[string]version{}
	var changed []reading
	for _, e := range entries {
		r, ok := d.read(root, e, n, f)
		if !ok {
			continue
		}
		if old, known := d.files[r.name]; known && old.data == string(r.data) {
			old.at = time.Now()
			now[r.name] = old
			continue
		}
		changed = append(changed, r)
	}
	d.believe(ctx, root, changed, now, f)
	d.files = now
	for name, v := range now {
		d.tell(name, v, n, f)
	}
	return f, nil
}

// believe reads changed files again after a while. One that is the same still is believed; the others keep what they held.
func (d *directory) believe(ctx context.Context, root *os.Root, changed []reading, now map[string]version, f *found) {
	if len(changed) == 0 || d.pause(ctx, settle) != nil {
		d.keep(changed, now)
		return
	}
	var moving []reading
	for _, first := range changed {
		again, err := d.readFile(root, first.name)
		if err != nil {
			d.failed(first.name, err, f)
			continue
		}
		if !first.still(again) {
			moving = append(moving, first)
			continue
		}
		now[first.name] = version{data: string(again.data), mapping: parseMapping(again.data), over: again.over, at: time.Now()}
	}
	d.keep(moving, now)
}

func (d *directory) keep(rs []reading, now map[string]version) {
	for _, r := range rs {
		if v, ok := d.files[r.name]; ok && time.Since(v.at) <= keepFor {
			now[r.name] = v
		}
	}
}

// tell adds what a file says.
func (d *directory) tell(name string, v version, n *names, f *found) {
	entry := filepath.Join(d.Path, name) + "\n" + v.data + "\n"
	if v.over {
		f.bad.add(entry, fmt.Sprintf("file %s is longer than %d bytes", collector.Clean(name), maxFileBytes))
	}
	for _, line := range v.bad {
		f.bad.add(entry+strconv.Itoa(line), fmt.Sprintf("file %s, line %d: not the id of a job", collector.Clean(name), line))
	}
	for _, id := range n.file(name) {
		for _, job := range v.jobs {
			f.jobs[id] = append(f.jobs[id], collector.Key{Source: d.Source, ID: job})
		}
	}
}

// read reads the file of an entry, if it is one of a GPU.
func (d *directory) read(root *os.Root, e fs.DirEntry, n *names, f *found) (reading, bool) {
	name := e.Name()
	if e.IsDir() || passing(name) {
		return reading{}, false
	}
	if n.file(name) == nil {
		if info, err := e.Info(); err == nil && !n.none() {
			f.bad.add(fmt.Sprintf("%s\n%d\n%d", filepath.Join(d.Path, name), info.Size(), info.ModTime().UnixNano()),
				fmt.Sprintf("file %s: no GPU is called so", collector.Clean(name)))
		}
		return reading{}, false
	}
	r, err := d.readFile(root, name)
	if err != nil {
		d.failed(name, err, f)
		return reading{}, false
	}
	return r, true
}

// failed counts a file that cannot be read, unless it is gone: jobs end.
func (d *directory) failed(name string, err error, f *found) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EISDIR) {
		return
	}
	f.bad.add(filepath.Join(d.Path, name)+"\nfailed", fmt.Sprintf("file %s: %s", collector.Clean(name), reasonOf(err)))
}

// passing reports whether a file is one that someone is about to rename, an editor's, or Kubernetes' own.
func passing(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".tmp")
}

func (d *directory) list(root *os.Root) ([]fs.DirEntry, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, d.problem(err)
	}
	defer f.Close()
	entries, err := f.ReadDir(maxFiles + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, d.problem(err)
	}
	return entries, nil
}

// problem says what to do about a directory that cannot be read.
func (d *directory) problem(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the directory does not exist: create it where the scheduler's prolog writes to, and mount it into the container")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("no permission: let the user of this process read the directory")
	default:
		return errors.New(reasonOf(err))
	}
}

func (d *directory) readFile(root *os.Root, name string) (r reading, err error) {
	f, err := d.open(root, name)
	if err != nil {
		return r, err
	}
	defer f.Close()
	r.name = name
	if r.before, err = f.Stat(); err != nil {
		return r, err
	}
	if r.data, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1)); err != nil {
		return r, err
	}
	if r.after, err = f.Stat(); err != nil {
		return r, err
	}
	if len(r.data) > maxFileBytes {
		r.over = true
		r.data = r.data[:bytes.LastIndexByte(r.data[:maxFileBytes], '\n')+1] // a cut line is another id
	}
	return r, nil
}

// openFile opens a regular file in the directory. Nothing else is read, opening anything else may wait for ever, and a link is
// followed only to where the directory's own files are.
func openFile(dir *os.Root, name string) (fs.File, error) {
	info, err := dir.Stat(name)
	switch {
	case err != nil:
		return nil, linked(dir, name, err)
	case info.IsDir():
		return nil, syscall.EISDIR
	case !info.Mode().IsRegular():
		return nil, errNotFile
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, linked(dir, name, err)
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() { // it was changed meanwhile
		err = errNotFile
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// linked is why a file was not opened: for a link, that it is one.
func linked(dir *os.Root, name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	if info, failed := dir.Lstat(name); failed == nil && info.Mode()&fs.ModeSymlink != 0 {
		return errLink
	}
	return err
}

// reasonOf is an error of the operating system without the path, which stands beside it.
func reasonOf(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return collector.Clean(err.Error())
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
