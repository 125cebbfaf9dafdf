package ledger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// churn makes large and small batches that grow and shrink the tree in every way.
type churn struct {
	r    *rand.Rand
	live map[collector.Key]*collector.Job
}

func (c *churn) batch(shrink bool) *collector.Batch {
	var b collector.Batch
	retire := c.r.IntN(600)
	if shrink {
		retire = 3000
	}
	for key, j := range c.live {
		if retire--; retire < 0 {
			break
		}
		b.Retire = append(b.Retire, j)
		delete(c.live, key)
	}
	for range 1 + c.r.IntN(400) {
		j := testJob("churn", 0)
		j.Key.ID = fmt.Sprintf("%x", c.r.Uint64()>>c.r.IntN(50))
		if c.live[j.Key] != nil || retiring(b.Retire, j.Key) {
			continue
		}
		j.Readings = make([]collector.Reading, c.r.IntN(200))
		c.live[j.Key] = j
		b.Jobs = append(b.Jobs, j)
		b.Spans = append(b.Spans, make([]byte, c.r.IntN(9000)))
	}
	return &b
}

func retiring(jobs []*collector.Job, key collector.Key) bool {
	for _, j := range jobs {
		if j.Key == key {
			return true
		}
	}
	return false
}

// TestChurnIsNeverRefused: the reader of pages is strict, and must not take a sound file for a damaged one.
func TestChurnIsNeverRefused(t *testing.T) {
	dir := t.TempDir()
	c := churn{r: rand.New(rand.NewPCG(1, 9)), live: map[collector.Key]*collector.Job{}}
	db := openDB(t, dir, Options{noSync: true})
	for round := range 60 {
		mustCommit(t, db, c.batch(round%20 > 15))
		rows, err := db.Peek(t.Context(), c.r.IntN(500), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, r := range rows {
			if c.r.IntN(3) > 0 {
				seqs = append(seqs, r.Seq)
			}
		}
		if err := db.Remove(t.Context(), seqs); err != nil {
			t.Fatal(err)
		}
		if round%4 != 0 {
			continue
		}
		db.Close()
		db = openDB(t, dir, Options{noSync: true})
		if n := len(load(t, db).Jobs); db.Recovered() != "" || n != len(c.live) {
			t.Fatalf("round %d: %d jobs of %d, recovered %q", round, n, len(c.live), db.Recovered())
		}
	}
}

// FuzzFile changes bytes of a state file. The reader must not panic, and must not accept what differs from the original.
func FuzzFile(f *testing.F) {
	dir := f.TempDir()
	db, h := openDB(f, dir, Options{}), newHistory(11)
	for range 12 {
		h.step(f, db)
	}
	whole := trim(f, read(f, db.dir.path(stateFile)))
	want, err := scan(f.Context(), bytes.NewReader(whole), int64(len(whole)), db.codec)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(5*pageSize), []byte{1, 2, 3})
	f.Add(uint32(pageSize+40), []byte{0xff})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		data := bytes.Clone(whole)
		for i, c := range change {
			data[(int(at)+i)%len(data)] ^= c
		}
		got, err := scan(t.Context(), bytes.NewReader(data), int64(len(data)), db.codec)
		if err == nil && !got.lost && len(got.bad) == 0 && (got.tally != want.tally || len(got.state.Jobs) != len(want.state.Jobs)) {
			t.Error("accepted something else")
		}
	})
}
