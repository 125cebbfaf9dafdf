package nvmltest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Write writes what changed since the last time. The files must always be the same.
func (h *Host) Write(files Files) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == nil {
		return errors.New("write the virtual GPUs: Advance comes first")
	}
	for _, source := range h.o.Sources {
		if err := os.MkdirAll(filepath.Join(files.Mappings, source), 0o700); err != nil {
			return fmt.Errorf("write which job has which virtual GPU: %w", err)
		}
	}
	if err := h.writeMappings(files.Mappings); err != nil {
		return fmt.Errorf("write which job has which virtual GPU: %w", err)
	}
	if !h.dirty {
		return nil
	}
	if err := h.state.Write(files.State); err != nil {
		return err
	}
	h.dirty = false
	return nil
}

// mappings are the mapping files that there should be, by their path below the folder: one for each GPU that a source has,
// named by the number that the driver gives the GPU now, with a job's id in each line.
func (h *Host) mappings() map[string]string {
	files := map[string]string{}
	for number, place := range counted(h.state, h.now) {
		if j, ok := h.jobs.owner(place); ok {
			files[filepath.Join(j.Source, strconv.Itoa(number))] = j.ID + "\n"
		}
	}
	return files
}

func (h *Host) writeMappings(folder string) error {
	want := h.mappings()
	for name := range h.wrote {
		if want[name] != "" {
			continue
		}
		if err := os.Remove(filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(h.wrote, name)
	}
	for name, text := range want {
		if h.wrote[name] == text {
			continue
		}
		if err := replace(folder, name, text); err != nil {
			return err
		}
		h.wrote[name] = text
	}
	return nil
}

// replace writes a file at once. What it is before lies outside the folder that others read.
func replace(folder, name, text string) error {
	file, draft := filepath.Join(folder, name), filepath.Join(folder, ".new")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, file)
}
