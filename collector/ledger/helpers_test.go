package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

// dump is a hash of every record of a state file, read without bbolt. It fails on a damaged file.
func dump(t testing.TB, data []byte) [32]byte {
	t.Helper()
	p, err := openPages(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return dumpPages(t, p)
}

func dumpPages(t testing.TB, p *pages) (sum [32]byte) {
	t.Helper()
	buckets, err := p.buckets()
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	part := func(b []byte) {
		h.Write(binary.AppendUvarint(nil, uint64(len(b))))
		h.Write(b)
	}
	for _, b := range buckets {
		part(b.name)
		if err := p.records(b, func(k, v []byte) error { part(k); part(v); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	h.Sum(sum[:0])
	return sum
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func place(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// trim cuts pages off that no commit has used, to keep images small.
func trim(t testing.TB, data []byte) []byte {
	t.Helper()
	p, err := openPages(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return data[:max(p.high, 4)*pageSize]
}

// history makes random commits and remembers what must be true after each.
type history struct {
	r       *rand.Rand
	live    map[int]*collector.Job
	next    int
	commits int
}

func newHistory(seed uint64) *history {
	return &history{r: rand.New(rand.NewPCG(seed, seed)), live: map[int]*collector.Job{}}
}

func (h *history) step(t testing.TB, db *DB) {
	t.Helper()
	h.commits++
	if h.commits%5 == 0 {
		rows, err := db.Peek(context.Background(), 1+h.r.IntN(40), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, r := range rows {
			seqs = append(seqs, r.Seq)
		}
		if err := db.Remove(context.Background(), seqs); err != nil {
			t.Fatal(err)
		}
		return
	}
	var b collector.Batch
	for range 1 + h.r.IntN(30) {
		i := h.next
		if len(h.live) > 20 && h.r.IntN(2) == 0 {
			i = h.r.IntN(h.next)
		} else {
			h.next++
		}
		if h.live[i] != nil && h.r.IntN(4) == 0 {
			b.Retire = append(b.Retire, h.live[i])
			delete(h.live, i)
			continue
		}
		if h.live[i] == nil && i < h.next-1 {
			continue
		}
		j := testJob("source", i)
		j.Steps = uint64(h.commits)
		h.live[i] = j
		b.Jobs = append(b.Jobs, j)
		b.Spans = append(b.Spans, bytes.Repeat([]byte{byte(i)}, 50+h.r.IntN(300)))
	}
	b.Jobs = once(b.Jobs, h.live)
	b.Groups = []*collector.Group{{Key: collector.GroupKey{Source: "source", Name: "g"}, Steps: uint64(h.commits)}}
	b.Totals = []*collector.Totals{{Source: "source", Read: uint64(h.commits)}}
	mustCommit(t, db, &b)
}

// once keeps the newest version of each job that is still tracked.
func once(jobs []*collector.Job, live map[int]*collector.Job) []*collector.Job {
	current := map[*collector.Job]bool{}
	for _, j := range live {
		current[j] = true
	}
	var kept []*collector.Job
	for _, j := range jobs {
		if current[j] {
			kept = append(kept, j)
		}
	}
	return kept
}
