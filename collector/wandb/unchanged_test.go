package wandb

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// manyJobs is a source with a settled file of n jobs, beside one of the configuration.
func manyJobs(t testing.TB, n int) (s *Source, file string) {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "\"job-%d\",", i)
	}
	file = filepath.Join(t.TempDir(), "jobs.json")
	past := time.Now().Add(-time.Hour)
	if err := os.WriteFile(file, []byte(`[{"targets":[`+text.String()+`"last"],"labels":{"group":"g"}}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, past, past); err != nil {
		t.Fatal(err)
	}
	s, err := New(testConfig("http://127.0.0.1:1/v1", func(c *Config) {
		c.JobFiles, c.Jobs = []string{file}, []Job{{ID: "static"}}
	}), collector.Env{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, file
}

// TestUnchangedListingIsCheap lists many jobs again: nothing is made for each.
func TestUnchangedListingIsCheap(t *testing.T) {
	const n = 20_000
	s, file := manyJobs(t, n)
	if l := listOf(t, s); l.Unchanged || len(l.Jobs) != n+2 {
		t.Fatalf("first listing: unchanged %v, %d jobs", l.Unchanged, len(l.Jobs))
	}
	allocated := testing.AllocsPerRun(10, func() {
		if l := listOf(t, s); !l.Unchanged || len(l.Jobs) != 0 || l.Partial || !l.Local {
			t.Fatalf("listing again: %v, %d jobs", l.Unchanged, len(l.Jobs))
		}
	})
	if allocated > 100 {
		t.Errorf("%.0f allocations for a listing of nothing new", allocated)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if l, err := s.List(t.Context()); err == nil || l.Unchanged || len(l.Jobs) != n+2 || !l.Partial {
		t.Errorf("the file is gone: unchanged %v, %d jobs, %v", l.Unchanged, len(l.Jobs), err)
	}
	write(t, file, `[]`)
	if l := listOf(t, s); l.Unchanged || ids(l) != "static" {
		t.Errorf("an empty file: unchanged %v, %d jobs", l.Unchanged, len(l.Jobs))
	}
	if l := listOf(t, s); !l.Unchanged {
		t.Error("an empty file again is a change")
	}
}

// TestUnchangedAfterFailure has the same jobs listed in full after a listing that failed, for that said nothing of absent ones.
func TestUnchangedAfterFailure(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/jobs.json", `[{"targets":["a"]}]`)
	s := newSource(t, testConfig("http://127.0.0.1:1/v1", func(c *Config) { c.JobFiles = []string{dir + "/jobs.json"} }), nil)
	listOf(t, s)
	write(t, dir+"/jobs.json", `[{"tar`)
	if l, err := s.List(t.Context()); err == nil || l.Unchanged || ids(l) != "a" {
		t.Errorf("half a file: %+v, %v", l, err)
	}
	write(t, dir+"/jobs.json", `[{"targets":["a"]}]`)
	if l := listOf(t, s); l.Unchanged || ids(l) != "a" {
		t.Errorf("the file is whole again: %+v", l)
	}
	if l := listOf(t, s); !l.Unchanged {
		t.Errorf("nothing changed: %+v", l)
	}
}

func BenchmarkUnchangedListing(b *testing.B) {
	s, _ := manyJobs(b, 100_000)
	if _, err := s.List(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if l, err := s.List(b.Context()); err != nil || !l.Unchanged {
			b.Fatal(err)
		}
	}
}
