package aitems

import (
	"testing"

	"github.com/trainbridge/trainbridge/collector/aitems/aitemstest"
)

// When a listing is to be in doubt.
const (
	never   = "never"
	always  = "always"
	paged   = "paged"   // if it does not fit one page
	exactly = "exactly" // if it just fits one page
)

// TestPages reads lists of many lengths in pages of many sizes from services that page in every way that was thought of.
func TestPages(t *testing.T) {
	for name, c := range map[string]struct {
		faults aitemstest.Faults
		doubt  string
		all    bool // everything can be read all the same
	}{
		"documented":          {doubt: never},
		"no echo":             {faults: aitemstest.Faults{NoEcho: true}, doubt: never},
		"no offset, no limit": {faults: aitemstest.Faults{IgnoreOffset: true, IgnoreLimit: true}, doubt: exactly, all: true},
		"no limit":            {faults: aitemstest.Faults{IgnoreLimit: true}, doubt: never},
		"no offset":           {faults: aitemstest.Faults{IgnoreOffset: true}, doubt: paged},
		"items come twice":    {faults: aitemstest.Faults{Duplicate: true}, doubt: always},
		"offset counts pages": {faults: aitemstest.Faults{OffsetIsPage: true}, doubt: paged},
		"something odd":       {faults: aitemstest.Faults{Odd: 1}, doubt: always, all: true},
		"empty second pages":  {faults: aitemstest.Faults{EmptyPages: -1}, doubt: paged},
		"untold limit of 50":  {faults: aitemstest.Faults{Cap: 50}, doubt: never},
		"the same, no echo":   {faults: aitemstest.Faults{Cap: 50, NoEcho: true}, doubt: never},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 2, 7, 60} {
				within(t, aitemstest.Options{}, func(c *Config) { c.PageSize = size }, func(t *testing.T, b *bench) {
					id := b.server.AddService(aitemstest.Service{ID: "s"})
					for n := range 62 {
						if n > 10 && n < 49 || n > 10 && size == 2 {
							b.server.AddTraining(id, aitemstest.Training{})
							continue
						}
						b.server.SetFaults(aitemstest.Faults{})
						if _, err := b.list(); err != nil {
							t.Fatal(err)
						}
						b.server.SetFaults(c.faults)
						l, err := b.list()
						if err != nil || (c.all || c.doubt == never) && len(l.Jobs) != n {
							t.Errorf("%d of %d in pages of %d: %v", len(l.Jobs), n, size, err)
						}
						full := size > 0 && n >= size || n > 0 && n%round == 0
						want := c.doubt == always || c.doubt == paged && full || c.doubt == exactly && n > 0 && n == size
						if c.faults.IgnoreOffset && (size == 0 || n < size) || c.faults.Duplicate && n < 2 {
							want = false // nothing is wrong with such a list
						}
						if l.Partial != want {
							t.Errorf("%d in pages of %d: partial %v", n, size, l.Partial)
						}
						b.server.AddTraining(id, aitemstest.Training{})
					}
				})
			}
		})
	}
}

// TestEndlessLists end.
func TestEndlessLists(t *testing.T) {
	within(t, aitemstest.Options{}, func(c *Config) { c.PageSize = 20 }, func(t *testing.T, b *bench) {
		id := b.server.AddService(aitemstest.Service{ID: "s"})
		b.server.AddTraining(id, aitemstest.Training{})
		b.server.SetFaults(aitemstest.Faults{Endless: true})
		l, err := b.list()
		if n := b.server.Requests()["trains"]; err != nil || !l.Partial || n > maxPages {
			t.Errorf("%d pages, partial %v, %v", n, l.Partial, err)
		}
	})
}

// TestAbsenceIsConfirmed has lists that are empty once: nothing is gone before it is missing twice, and nothing right after a start.
func TestAbsenceIsConfirmed(t *testing.T) {
	within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
		id := b.server.AddService(aitemstest.Service{ID: "s"})
		gone := b.server.AddTraining(id, aitemstest.Training{Status: "learning"})
		b.server.AddTraining(id, aitemstest.Training{Status: "learning"})
		b.mustList()
		b.absent = func(id string) { t.Errorf("%s is taken to be gone", id) }
		for _, name := range []string{"services", "trains"} {
			b.server.SetFaults(aitemstest.Faults{EmptyLists: 1, EmptyName: name})
			if l, err := b.list(); err != nil || !l.Partial {
				t.Errorf("no %s: partial %v, %v", name, l.Partial, err)
			}
			b.server.SetFaults(aitemstest.Faults{})
			b.mustList()
		}
		b.restart()
		b.server.SetFaults(aitemstest.Faults{EmptyLists: 1, EmptyName: "trains"})
		if l, err := b.list(); err != nil || !l.Partial {
			t.Errorf("after a start: partial %v, %v", l.Partial, err)
		}
		b.mustList()
		b.same()

		var lost []string
		b.absent = func(id string) { lost = append(lost, id) }
		b.server.Remove(gone)
		for n := range 2 {
			if _, err := b.list(); err != nil || len(lost) != n {
				t.Errorf("after %d listings %v are gone, %v", n+1, lost, err)
			}
		}
		b.same()
	})
}

// TestDoubtIsForgotten has an empty list behind one that is in doubt, and behind one that failed: neither confirms it.
func TestDoubtIsForgotten(t *testing.T) {
	for name, f := range map[string]aitemstest.Faults{
		"in doubt": {Duplicate: true}, "failed": {Fail: aitemstest.Answer{Count: 3, Status: 500, Suffix: "/trains"}},
		"services failed": {Fail: aitemstest.Answer{Count: 3, Status: 500}},
	} {
		for _, empty := range []string{"services", "trains"} {
			within(t, aitemstest.Options{}, nil, func(t *testing.T, b *bench) {
				b.absent = func(id string) { t.Errorf("%s: %s is taken to be gone", name, id) }
				id := b.server.AddService(aitemstest.Service{ID: "s"})
				b.server.AddService(aitemstest.Service{ID: "t"})
				b.mustList() // without trainings
				for range 3 {
					b.server.AddTraining(id, aitemstest.Training{Status: "learning"})
				}
				b.server.SetFaults(f)
				_, _ = b.list() // in doubt, or failed
				b.server.SetFaults(aitemstest.Faults{EmptyLists: 1, EmptyName: empty})
				if l, err := b.list(); err != nil || !l.Partial {
					t.Errorf("%s, then empty %s: partial %v, %v", name, empty, l.Partial, err)
				}
				b.server.SetFaults(aitemstest.Faults{})
				b.mustList()
				b.same()
			})
		}
	}
}

// TestLaterPagesAreNewer has a training whose status changes between two pages that both show it.
func TestLaterPagesAreNewer(t *testing.T) {
	pages := [][]training{
		{{kind: "pop", version: "a", status: "waiting"}, {kind: "pop", version: "b", status: "waiting"}},
		{{kind: "pop", version: "b", status: "learning"}, {kind: "pop", version: "c", status: "waiting"}},
		{{kind: "pop", version: "c", status: "learning"}},
	}
	l, err := readAll(2, func(offset int) (*page[training], error) {
		return &page[training]{items: pages[offset], size: len(pages[offset])}, nil
	})
	if err != nil || l.doubt != "" || len(l.items) != 3 || l.items[1].status != "learning" || l.items[2].status != "learning" {
		t.Errorf("%+v %v", l, err)
	}
}
