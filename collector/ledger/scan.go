package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/trainbridge/trainbridge/collector"
)

// contents are all that a state file holds, verified.
type contents struct {
	state  collector.State
	tally  tally
	schema schema
	bytes  uint64    // of the spans in the outbox
	bad    []badItem // set aside before the file is used
	lost   bool      // the last commit may be missing
}

// badItem is a record that cannot be used although the rest of the file can.
type badItem struct {
	kind   kind
	key    []byte
	reason error
}

// scan reads a state file and verifies every page and record of it. It returns ErrNewer, ErrDamaged, or what the disk said.
func scan(ctx context.Context, file io.ReaderAt, size int64, c *codec) (*contents, error) {
	return (&scanner{codec: c}).scan(ctx, file, size)
}

// verify is scan, but decodes nothing beyond the checksums.
func verify(ctx context.Context, file io.ReaderAt, size int64, c *codec) error {
	_, err := (&scanner{codec: c, sumsOnly: true}).scan(ctx, file, size)
	return err
}

func (s *scanner) scan(ctx context.Context, file io.ReaderAt, size int64) (*contents, error) {
	p, err := openPages(file, size)
	if err != nil {
		return nil, err
	}
	buckets, err := p.buckets()
	if err != nil {
		return nil, err
	}
	s.pages, s.out.lost = p, p.lost
	if err := s.meta(buckets); err != nil {
		return nil, err
	}
	if err := s.all(ctx, buckets); err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return &s.out, nil
}

type scanner struct {
	codec    *codec
	sumsOnly bool
	pages    *pages
	found    [kindCount]count
	out      contents
	jobs     decoder
	badRow   bool
}

// meta reads the version before anything else, because a newer file may look different.
func (s *scanner) meta(buckets []bucket) error {
	i := slices.IndexFunc(buckets, func(b bucket) bool { return string(b.name) == metaKind.String() })
	if i < 0 {
		return damaged("there is no bucket %q", metaKind)
	}
	entries := map[string][]byte{}
	err := s.pages.records(buckets[i], func(key, value []byte) error {
		entries[string(key)] = bytes.Clone(value)
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.codec.open(metaKind, []byte(schemaKey), entries[schemaKey], &s.out.schema); err != nil {
		return asDamage(err)
	}
	return asDamage(s.codec.open(metaKind, []byte(tallyKey), entries[tallyKey], &s.out.tally))
}

// asDamage makes whatever is wrong with a record damage, but for a newer version.
func asDamage(err error) error {
	if err == nil || errors.Is(err, ErrNewer) || errors.Is(err, ErrDamaged) {
		return err
	}
	return damaged("%v", err)
}

func (s *scanner) all(ctx context.Context, buckets []bucket) error {
	s.jobs.start(s.codec)
	defer s.jobs.stop()
	if len(buckets) != kindCount {
		return damaged("there are %d buckets instead of %d", len(buckets), kindCount)
	}
	for _, b := range buckets {
		k, ok := kindOf(b.name)
		if !ok {
			return damaged("there is an unknown bucket %q", b.name)
		}
		if k == metaKind {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.pages.records(b, func(key, value []byte) error {
			s.found[k].add(value)
			return s.record(k, key, value)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) record(k kind, key, value []byte) error {
	if k == quarantineKind {
		return nil // kept as it is
	}
	b, err := body(k, key, value)
	if k == outboxKind {
		if len(value) >= headerSize {
			s.out.bytes += uint64(len(value) - headerSize)
		}
		if errors.Is(err, ErrDamaged) {
			s.badRow = true
			s.bad(k, key, err)
			return nil
		}
	}
	if err != nil || s.sumsOnly {
		return err
	}
	switch k {
	case jobKind:
		s.jobs.add(key, b)
	case groupKind:
		decodeInto(s, k, key, b, &s.out.state.Groups)
	case totalsKind:
		decodeInto(s, k, key, b, &s.out.state.Totals)
	}
	return nil
}

func decodeInto[T any](s *scanner, k kind, key, body []byte, list *[]*T) {
	v := new(T)
	if err := s.codec.decode(k, body, v); err != nil {
		s.bad(k, key, err)
		return
	}
	*list = append(*list, v)
}

func (s *scanner) bad(k kind, key []byte, reason error) {
	s.out.bad = append(s.out.bad, badItem{k, bytes.Clone(key), reason})
}

// finish compares what was found with what the last commit said there is.
func (s *scanner) finish() error {
	jobs, bad := s.jobs.wait()
	s.out.state.Jobs = jobs
	s.out.bad = append(s.out.bad, bad...)
	for k := jobKind; int(k) < kindCount; k++ {
		want := s.out.tally.Kinds[k]
		if k == outboxKind && s.badRow {
			want.Sum = s.found[k].Sum
		}
		if s.found[k] != want {
			return damaged("bucket %q has %d records, or other ones, where %d were committed", k, s.found[k].N, want.N)
		}
	}
	t := s.out.tally
	if t.Produced != t.Sent+t.Dropped+t.Kinds[outboxKind].N {
		return damaged("%d spans produced are not %d sent, %d dropped and %d queued", t.Produced, t.Sent, t.Dropped, t.Kinds[outboxKind].N)
	}
	return nil
}

// decoder decodes jobs on all cores, in batches, and keeps their order.
type decoder struct {
	codec   *codec
	work    chan *jobBatch
	batches []*jobBatch
	open    *jobBatch
	running sync.WaitGroup
	stopped bool
}

type jobBatch struct {
	data []byte // keys and bodies
	ends []int  // of each key and body in data
	jobs []*collector.Job
	bad  []badItem
}

const jobsPerBatch = 128

func (d *decoder) start(c *codec) {
	d.codec = c
	d.work = make(chan *jobBatch, 64)
	for range min(runtime.GOMAXPROCS(0), 8) {
		d.running.Go(func() {
			for b := range d.work {
				b.decode(c)
			}
		})
	}
}

func (d *decoder) add(key, body []byte) {
	if d.open == nil {
		d.open = &jobBatch{data: make([]byte, 0, jobsPerBatch<<10), ends: make([]int, 0, 2*jobsPerBatch)}
		d.batches = append(d.batches, d.open)
	}
	b := d.open
	b.data = append(b.data, key...)
	b.ends = append(b.ends, len(b.data))
	b.data = append(b.data, body...)
	b.ends = append(b.ends, len(b.data))
	if len(b.ends) == 2*jobsPerBatch {
		d.work <- b
		d.open = nil
	}
}

func (b *jobBatch) decode(c *codec) {
	b.jobs = make([]*collector.Job, 0, len(b.ends)/2)
	from := 0
	for i := 0; i < len(b.ends); i += 2 {
		key, body := b.data[from:b.ends[i]], b.data[b.ends[i]:b.ends[i+1]]
		from = b.ends[i+1]
		j := new(collector.Job)
		err := c.decode(jobKind, body, j)
		if err == nil && j.Info == nil {
			err = fmt.Errorf("decode a record of %s: job %s has no identity", jobKind, j.Key)
		}
		if err != nil {
			b.bad = append(b.bad, badItem{jobKind, bytes.Clone(key), err})
			continue
		}
		b.jobs = append(b.jobs, j)
	}
	b.data = nil
}

// stop ends the workers. It may be called twice.
func (d *decoder) stop() {
	if d.stopped {
		return
	}
	d.stopped = true
	if d.open != nil {
		d.work <- d.open
		d.open = nil
	}
	close(d.work)
	d.running.Wait()
}

func (d *decoder) wait() ([]*collector.Job, []badItem) {
	d.stop()
	var bad []badItem
	n := 0
	for _, b := range d.batches {
		n += len(b.jobs)
		bad = append(bad, b.bad...)
	}
	jobs := make([]*collector.Job, 0, n)
	for _, b := range d.batches {
		jobs = append(jobs, b.jobs...)
	}
	return jobs, bad
}
