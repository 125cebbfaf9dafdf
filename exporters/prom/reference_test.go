package prom

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

func TestReferenceHasEveryRow(t *testing.T) {
	var page bytes.Buffer
	if err := Reference(&page); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(page.String()) {
		if strings.HasPrefix(l, "|") && strings.Count(strings.ReplaceAll(l, `\|`, ""), "|") != 8 {
			t.Errorf("not seven columns: %s", l)
		}
	}
	var names []string
	for _, r := range collector.JobRows() {
		names = append(names, r.Prom+"` | `"+r.Name)
	}
	for _, r := range collector.SourceRows() {
		names = append(names, r.Prom+"` | `"+r.Name)
	}
	for _, r := range collector.GroupRows() {
		names = append(names, r.Prom+"` | `"+r.Name)
	}
	for _, r := range collector.GPURows() {
		names = append(names, r.Prom+"` | `"+r.Name)
	}
	for _, r := range collector.GPUHostRows() {
		names = append(names, r.Prom+"` | `"+r.Name)
	}
	for _, name := range names {
		if strings.Count(page.String(), "\n| `"+name+"` |") != 1 {
			t.Errorf("%s does not stand once", name)
		}
	}
}

// broken is a disk that is full.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWriteErrorsAreReturned(t *testing.T) {
	if Reference(broken{}) == nil {
		t.Error("Reference hides the error")
	}
	if Write(broken{}, &collector.Snapshot{Sources: []*collector.SourceView{{Name: "s"}}}, Text) == nil {
		t.Error("Write hides the error")
	}
}
