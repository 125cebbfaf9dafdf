package ledger

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const (
	stateFile      = "state.db"
	checkpointFile = "checkpoint.db"
	reserveFile    = "reserve"
	lockFile       = "lock"
	corruptMark    = ".corrupt-"
	tempSuffix     = ".new"
)

// folder is the state directory.
type folder string

func (d folder) path(name string) string { return filepath.Join(string(d), name) }

// openFolder makes the directory if there is none.
func openFolder(dir string) (folder, error) {
	if dir == "" {
		return "", errors.New("open the state: no directory given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the state directory: %w", err)
	}
	d := folder(dir)
	for _, name := range []string{stateFile, checkpointFile, reserveFile, lockFile} {
		if _, err := d.size(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return d, nil
}

// size is the size of a regular file. Anything else in its place, a symbolic link above all, is an error.
func (d folder) size(name string) (int64, error) {
	info, err := os.Lstat(d.path(name))
	if err != nil {
		return 0, fmt.Errorf("look at the state: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file: remove it, the state must not live behind a link", d.path(name))
	}
	return info.Size(), nil
}

func (d folder) exists(name string) bool {
	_, err := d.size(name)
	return err == nil
}

// openFile is os.OpenFile, but never through a symbolic link.
func openFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	before, err := os.Lstat(path)
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || flag&os.O_CREATE == 0) {
		return nil, err
	}
	if err != nil {
		flag |= os.O_EXCL
	}
	f, openErr := os.OpenFile(path, flag, mode)
	if err != nil && errors.Is(openErr, fs.ErrExist) {
		return openFile(path, flag&^os.O_EXCL, mode) // someone made it a moment ago
	}
	if openErr != nil || err != nil {
		return f, openErr
	}
	after, err := f.Stat()
	if err == nil && (!before.Mode().IsRegular() || !os.SameFile(before, after)) {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lock waits until no other process uses the directory. Closing the file unlocks it.
func (d folder) lock(wait time.Duration) (*os.File, error) {
	f, err := openFile(d.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the state: %w", err)
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(50 * time.Millisecond) {
		ok, err := tryLock(f)
		if ok {
			return f, nil
		}
		if err == nil && time.Now().Before(deadline) {
			continue
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("lock the state: %w", err)
		}
		return nil, fmt.Errorf("lock the state directory %s: another trainbridge may be using it; stop it, or give this one a directory of its own", d)
	}
}

// write makes a file by way of a temporary one, so that it is there whole or not at all, also after a power cut.
func (d folder) write(name string, fill func(*os.File) error) error {
	temp := d.path(name + tempSuffix)
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := openFile(temp, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temp, d.path(name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return d.sync()
}

// sync makes renames durable.
func (d folder) sync() error {
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (d folder) copyTo(from, to string) error {
	return d.write(to, func(f *os.File) error {
		src, err := openFile(d.path(from), os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, src)
		return errors.Join(err, src.Close())
	})
}

// corruptName is a name for a damaged file that is not taken yet.
func (d folder) corruptName(file string, now time.Time) string {
	name := file + corruptMark + now.UTC().Format("20060102T150405.000Z")
	for try := name; ; try += "+" {
		if _, err := os.Lstat(d.path(try)); err != nil {
			return try
		}
	}
}

func (d folder) hasCorrupt() bool {
	found, err := filepath.Glob(d.path(stateFile + corruptMark + "*"))
	return err == nil && len(found) > 0
}
