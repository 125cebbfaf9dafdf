package tensorone

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// files finds jobs in files on disk, which are read whenever it is asked. It is not safe for concurrent use.
type files struct {
	patterns []string // absolute
	log      *slog.Logger
	known    map[string]*file
}

// file is a discovery file as it was last read well.
type file struct {
	body []byte
	list []target
}

// refresh reads the files and returns their jobs, in the order of their names. A file that cannot be read or understood keeps what it held;
// the error names it.
func (fs *files) refresh() ([]target, error) {
	paths, errs := fs.glob()
	next := make(map[string]*file, len(paths))
	var out []target
	for _, path := range paths {
		f, err := fs.read(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("job file %s: %w", path, err))
			f = fs.known[path]
		}
		if f != nil {
			next[path] = f
			out = append(out, f.list...)
		}
	}
	fs.known = next
	return out, errors.Join(errs...)
}

// glob lists the files. A file that is named without a pattern must exist, and so must the directory that a pattern
// starts from: a volume that is not mounted must not look like the end of all jobs.
func (fs *files) glob() (paths []string, errs []error) {
	for _, pattern := range fs.patterns {
		base := pattern
		if i := strings.IndexAny(pattern, "*?["); i >= 0 {
			base = filepath.Dir(pattern[:i+1])
		}
		found, err := filepath.Glob(pattern)
		if _, missing := os.Stat(base); missing != nil {
			err = missing
		}
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

func (fs *files) read(path string) (*file, error) {
	body, err := readAll(path)
	if err != nil {
		return nil, err
	}
	if old := fs.known[path]; old != nil && bytes.Equal(old.body, body) {
		return old, nil
	}
	list, problem, err := parseTargets(path, body)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		fs.log.Warn("a job or a label was left out of a file", "file", path, "reason", problem)
	}
	return &file{body: body, list: list}, nil
}

func readAll(path string) ([]byte, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !stat.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
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
