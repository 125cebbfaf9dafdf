package wandb

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// files finds jobs in files on disk. It looks at each file's size, time and identity whenever it is asked, so that a
// file swapped through a symbolic link (as Kubernetes does with mounted configuration) is seen too. It is not safe for
// concurrent use.
type files struct {
	patterns []string // absolute
	log      *slog.Logger
	known    map[string]*file
	paths    []string // of known, sorted
}

// file is a discovery file as it was last read well.
type file struct {
	stat    os.FileInfo
	read    time.Time // when
	sum     [sha256.Size]byte
	content targets
}

// settled is how old a file's time must be before the same size and time prove the same content: file systems keep
// time in ticks.
const settled = 2 * time.Second

func (f *file) unchanged(now os.FileInfo) bool {
	return os.SameFile(f.stat, now) && f.stat.Size() == now.Size() && f.stat.ModTime().Equal(now.ModTime()) &&
		f.read.Sub(now.ModTime()) > settled
}

// refresh reads what changed. Files that cannot be read or understood keep what they held; the error names them. The names
// of fields not understood in files that were read now are returned once.
func (fs *files) refresh() (unknown []string, err error) {
	paths, errs := fs.glob()
	next := make(map[string]*file, len(paths))
	for _, path := range paths {
		old := fs.known[path]
		f, err := readTargets(path, old)
		if err != nil {
			errs = append(errs, fmt.Errorf("job file %s: %w", path, err))
			f = old
		}
		if f == nil {
			continue
		}
		next[path] = f
		if old == nil || f.sum != old.sum {
			unknown = append(unknown, f.content.unknown...)
			warnTargets(fs.log, path, f.content)
		}
	}
	fs.known = next
	fs.paths = slices.DeleteFunc(paths, func(p string) bool { return next[p] == nil })
	return unknown, errors.Join(errs...)
}

func warnTargets(log *slog.Logger, from string, t targets) {
	if t.problem != nil {
		log.Warn("A target of discovery or a label of it was left out", "from", from, "reason", t.problem)
	}
}

// glob lists the files. A file that is named without a pattern must exist, and so must the directory that a pattern
// starts from: a volume that is not mounted must not look like the end of all jobs. What was known below either is kept.
func (fs *files) glob() (paths []string, errs []error) {
	for _, pattern := range fs.patterns {
		base := pattern
		if i := strings.IndexAny(pattern, "*?["); i >= 0 {
			base = filepath.Dir(pattern[:i+1])
		}
		if _, err := os.Stat(base); err != nil {
			errs = append(errs, fmt.Errorf("job files %s: %w", pattern, err))
			paths = append(paths, fs.matching(pattern)...)
			continue
		}
		found, err := filepath.Glob(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("job files %s: %w", pattern, err))
			found = fs.matching(pattern)
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), errs
}

// matching are the known files that a pattern had found.
func (fs *files) matching(pattern string) []string {
	var out []string
	for path := range fs.known {
		if ok, err := filepath.Match(pattern, path); ok && err == nil || path == pattern {
			out = append(out, path)
		}
	}
	return out
}

// readTargets reads a file unless it is unchanged; then it returns old.
func readTargets(path string, old *file) (*file, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if old != nil && old.unchanged(stat) {
		return old, nil
	}
	if !stat.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	body, err := readAll(path)
	if err != nil {
		return nil, err
	}
	f := &file{stat: stat, read: time.Now(), sum: sha256.Sum256(body)}
	if old != nil && old.sum == f.sum {
		f.content = old.content
		return f, nil
	}
	f.content, err = parseTargets(path, body)
	return f, err
}

func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxTargetBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxTargetBytes {
		return nil, fmt.Errorf("larger than %d MiB", maxTargetBytes>>20)
	}
	return body, nil
}
