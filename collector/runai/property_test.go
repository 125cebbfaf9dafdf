package runai

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/trainbridge/trainbridge/collector"
)

var (
	schedules = flag.Int("schedules", 40, "how many random schedules each of the tests of lists runs")
	firstSeed = flag.Uint64("schedules.first", 0, "the seed of the first of them")
)

const modelWindow = 2 * time.Minute

// modelRow is a row of a list in memory.
type modelRow struct {
	record
	seen  bool   // it was there during a whole poll
	place uint64 // in a list that is not sorted by time
}

// modelList is the service's lists of one workload, in memory: events newest first, history in any order.
type modelList struct {
	rnd    *rand.Rand
	rows   []modelRow // newest first
	phases []modelRow
	gone   []modelRow // pruned, and in the history still
	keeps  bool       // the history keeps what the events lose
	made   int
	happen int            // distinct events and changes of phase
	late   []modelRow     // happened, not shown yet
	latePh []modelRow     // the same
	due    []time.Time    // when each of the late ones is shown
	duePh  []time.Time    //
	mark   string         // as the listing has it
	last   collector.Time // of the newest change of phase

	version int // of what is shown
	caches  [2]struct {
		version int
		rows    []modelRow
	}

	pages    []int // sizes to ask for
	unstable bool  // the order differs from answer to answer
	single   bool  // no two rows without id have the same content
	ascends  bool  // it lists oldest first if asked to
	order    func([]modelRow) []modelRow
	between  func() // what happens between two pages
}

// span is some time up to d.
func (l *modelList) span(d time.Duration) time.Duration { return time.Duration(l.rnd.Int64N(int64(d))) }

func now() collector.Time { return collector.TimeOf(time.Now()) }

// put shows a row at its place, before all others of the same time or behind them.
func (l *modelList) put(r modelRow) {
	i := 0
	for i < len(l.rows) && l.rows[i].at > r.at {
		i++
	}
	for behind := l.rnd.IntN(2) == 0; behind && i < len(l.rows) && l.rows[i].at == r.at; {
		i++
	}
	l.rows = slices.Insert(l.rows, i, r)
	l.version++
}

// row makes one that happened at that time; some have no id, and some of these the same content as the one before.
func (l *modelList) row(at collector.Time) modelRow {
	l.made++
	l.happen++
	e := rawEvent{at: at.Add(-time.Duration(at) % time.Millisecond), typ: "Normal", reason: "Started", message: "m" + strconv.Itoa(l.made)}
	if l.rnd.IntN(3) > 0 {
		e.id = "id-" + strconv.Itoa(l.made)
	}
	return modelRow{record: *e.record(), place: l.rnd.Uint64()}
}

// grow adds n events of the last moments, several at the same moment.
func (l *modelList) grow(n int) {
	at := now()
	for range n {
		if l.rnd.IntN(3) == 0 {
			at = now().Add(-l.span(10 * time.Second)).Add(0)
		}
		r := l.row(at)
		l.put(r)
		if r.id == "" && !l.single && l.rnd.IntN(4) == 0 { // a twin beside it
			l.happen++
			i := slices.IndexFunc(l.rows, func(o modelRow) bool { return o.content == r.content })
			r.place++
			l.rows = slices.Insert(l.rows, i, r)
			l.version++
		}
	}
}

// hide lets an event happen that is shown up to a window later.
func (l *modelList) hide() {
	l.late = append(l.late, l.row(now()))
	l.due = append(l.due, time.Now().Add(l.span(modelWindow-time.Second)))
}

// change lets the phase change. Its record may be late.
func (l *modelList) change() {
	words := []string{"Pending", "Initializing", "Running", "Stopped", "Resuming", "Degraded", "Updating"}
	at := max(now().Add(-l.span(3*time.Second)), l.last+1e6)
	at = at.Add(-time.Duration(at) % time.Millisecond)
	l.last = at
	word := words[l.rnd.IntN(len(words))]
	h := rawRecord{at: at, typ: "PhaseUpdate", hasPhase: true, phase: word}
	r := modelRow{record: *(&recordPage{}).finish(&h), place: l.rnd.Uint64()}
	l.happen++
	l.mark = markOf(word, at)
	if l.rnd.IntN(3) == 0 {
		l.latePh = append(l.latePh, r)
		l.duePh = append(l.duePh, at.Std().Add(l.span(modelWindow-4*time.Second)))
		return
	}
	l.phases = append(l.phases, r)
	l.version++
}

// tick shows what is due.
func (l *modelList) tick() {
	for i := 0; i < len(l.late); i++ {
		if !time.Now().Before(l.due[i]) {
			l.put(l.late[i])
			l.late, l.due = slices.Delete(l.late, i, i+1), slices.Delete(l.due, i, i+1)
			i--
		}
	}
	for i := 0; i < len(l.latePh); i++ {
		if !time.Now().Before(l.duePh[i]) {
			l.phases = append(l.phases, l.latePh[i])
			l.version++
			l.latePh, l.duePh = slices.Delete(l.latePh, i, i+1), slices.Delete(l.duePh, i, i+1)
			i--
		}
	}
}

// repeat moves an event that has an id to now, as Kubernetes does.
func (l *modelList) repeat() {
	if len(l.rows) == 0 {
		return
	}
	i := l.rnd.IntN(len(l.rows))
	r := l.rows[i]
	if r.id == "" || !r.seen || r.at <= now().Add(-modelWindow) {
		return
	}
	l.rows = slices.Delete(l.rows, i, i+1)
	r.at = now()
	l.put(r)
}

// prune drops the oldest rows as far as they were seen, and some in the middle.
func (l *modelList) prune() {
	keep := l.rnd.IntN(len(l.rows) + 1)
	for len(l.rows) > keep && l.rows[len(l.rows)-1].seen {
		if l.keeps {
			l.gone = append(l.gone, l.rows[len(l.rows)-1])
		}
		l.rows = l.rows[:len(l.rows)-1]
		l.version++
	}
}

func (l *modelList) remove(n int) {
	for range n {
		if len(l.rows) == 0 {
			return
		}
		if i := l.rnd.IntN(len(l.rows)); l.rows[i].seen {
			l.rows = slices.Delete(l.rows, i, i+1)
			l.version++
		}
	}
}

// ask is a [pageAsker].
func (l *modelList) ask(_ context.Context, list int, o order, offset, limit int) (recordPage, error) {
	if l.between != nil && offset > 0 {
		l.between()
	}
	rows, reverse := l.rows, false
	switch {
	case list == inHistory:
		rows = l.cached(inHistory, func() []modelRow {
			all := slices.Concat(l.rows, l.phases, l.gone)
			slices.SortFunc(all, byPlace)
			return all
		})
	case l.order != nil && l.unstable:
		rows = l.order(slices.Clone(rows))
	case l.order != nil:
		rows = l.cached(inEvents, func() []modelRow { return l.order(slices.Clone(l.rows)) })
	default:
		reverse = o == oldestFirst && l.ascends
	}
	from := min(offset, len(rows))
	to := min(from+limit, len(rows))
	out := recordPage{more: to < len(rows), next: to}
	for i := from; i < to; i++ {
		r := rows[i].record
		if reverse {
			r = rows[len(rows)-1-i].record
		}
		out.records = append(out.records, &r)
	}
	return out, nil
}

// cached is a list that is made anew when something changed.
func (l *modelList) cached(list int, build func() []modelRow) []modelRow {
	if c := &l.caches[list]; c.version != l.version || c.rows == nil {
		c.version, c.rows = l.version, build()
	}
	return l.caches[list].rows
}

func byPlace(a, b modelRow) int { return cmp.Compare(a.place, b.place) }

// visible marks what was there during a whole poll.
func (l *modelList) visible() func() {
	was := map[string]bool{}
	for i := range l.rows {
		was[l.rows[i].key()] = true
	}
	return func() {
		for i := range l.rows {
			l.rows[i].seen = l.rows[i].seen || was[l.rows[i].key()]
		}
	}
}

// reader is one way to read a list; counted is how many events it found in the end.
type reader interface {
	poll(t *testing.T)
	restart()
	counted() int
}

// run lets a list and a reader run into each other.
func (l *modelList) run(t *testing.T, f reader) {
	polled := func() {
		l.tick()
		done := l.visible()
		f.poll(t)
		done()
	}
	midway := l.rnd.IntN(3)
	l.between = func() {
		if l.rnd.IntN(3) < midway {
			l.grow(l.rnd.IntN(4))
			l.remove(l.rnd.IntN(3))
		}
	}
	for range 30 {
		time.Sleep(l.span(modelWindow / 4))
		switch n := l.rnd.IntN(20); {
		case n < 8:
			l.grow(l.rnd.IntN(1 << l.rnd.IntN(8)))
		case n < 11:
			l.hide()
		case n < 13:
			l.change()
		case n < 14:
			l.prune()
		case n < 15:
			l.remove(l.rnd.IntN(30))
		case n < 16:
			l.repeat()
		case n < 17:
			f.restart()
		case n < 18:
			time.Sleep(l.span(3 * modelWindow))
		}
		polled()
	}
	l.between = nil
	for range 8 {
		time.Sleep(modelWindow / 4)
		polled()
	}
}

func newModel(seed uint64) *modelList {
	return &modelList{rnd: rand.New(rand.NewPCG(seed, 11)), ascends: true, keeps: seed%2 == 0, pages: []int{500, 100, 40, 20}}
}

// ours reads with the source's own code and folds with Reduce.
type ours struct {
	list   *modelList
	config Config
	source *Source
	job    *collector.Job
	asked  int
}

func newOurs(t *testing.T, l *modelList, pageSize, longBacklog int) *ours {
	no := false
	c := Config{BaseURL: "http://127.0.0.1:1", PageSize: pageSize, Metrics: &no, EventWindow: model.Duration(modelWindow)}
	o := &ours{list: l, config: c}
	o.source = o.open(t)
	o.source.longBacklog = longBacklog
	u := collector.Update{Key: collector.Key{Source: "test", ID: "job"}, At: now(), HasPhase: true, Phase: collector.Running, Status: "Running"}
	o.job = collector.Reduce(nil, u, collector.ReduceOptions{}).Job
	return o
}

func (o *ours) open(t *testing.T) *Source {
	s, err := New(o.config, collector.Env{Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (o *ours) poll(t *testing.T) {
	for range 1000 {
		o.source.with("job", func(m *memo) { m.mark = o.list.mark })
		p, _ := o.source.newPoll(o.job)
		p.asker = func(ctx context.Context, list int, ord order, offset, limit int) (recordPage, error) {
			o.asked++
			return o.list.ask(ctx, list, ord, offset, limit)
		}
		u := collector.Update{Key: o.job.Key, Polled: true}
		if err := p.read(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := p.report(&u); err != nil {
			t.Fatal(err)
		}
		u.At = now()
		o.job = collector.Reduce(o.job, u, collector.ReduceOptions{}).Job
		if len(o.job.Cursor) > 6000 {
			t.Fatalf("the cursor has %d bytes", len(o.job.Cursor))
		}
		if !u.More {
			return
		}
	}
	t.Fatal("no end of more")
}

// restart forgets what is not in the job.
func (o *ours) restart() {
	long := o.source.longBacklog
	s, err := New(o.config, collector.Env{Name: "test"})
	if err != nil {
		panic(err)
	}
	s.longBacklog = long
	o.source = s
}

func (o *ours) counted() int { return int(o.job.EventCount()) }

// TestSchedules lets lists grow, get late, repeated and nameless events, and lose old and other ones in random order, also while
// they are read. What happened and was shown for a poll, no later than the window, is counted once.
func TestSchedules(t *testing.T) {
	kinds := map[string]func(*modelList){
		"newest first": nil,
		"unsorted": func(l *modelList) {
			l.order = func(rows []modelRow) []modelRow {
				slices.SortFunc(rows, byPlace)
				return rows
			}
		},
		"oldest first": func(l *modelList) {
			l.order = func(rows []modelRow) []modelRow { slices.Reverse(rows); return rows }
		},
		"ties in any order": func(l *modelList) {
			l.unstable = true
			l.single = true // those of one moment may be more than a page, and then their number cannot be told
			l.pages = []int{500}
			l.order = func(rows []modelRow) []modelRow {
				l.rnd.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
				slices.SortStableFunc(rows, func(a, b modelRow) int { return int(min(max(b.at-a.at, -1), 1)) })
				return rows
			}
		},
	}
	for name, with := range kinds {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := *schedules
				if with == nil {
					with = func(*modelList) {}
				} else {
					n = (n + 9) / 10 // the others are variations
				}
				seeds := []uint64{45, 475, 4395} // which found mistakes
				for i := range uint64(n) {
					seeds = append(seeds, *firstSeed+i)
				}
				for _, seed := range seeds {
					l := newModel(seed)
					with(l)
					size := l.pages[l.rnd.IntN(len(l.pages))]
					o := newOurs(t, l, size, []int{longBacklog, 60}[l.rnd.IntN(2)])
					l.grow(l.rnd.IntN(300))
					l.run(t, o)
					if o.counted() != l.happen {
						t.Fatalf("seed %d, pages of %d: %d counted, %d happened", seed, size, o.counted(), l.happen)
					}
				}
			})
		})
	}
}

// untilKnown is a tempting way: newest first, until an event that is known.
type untilKnown struct {
	list  *modelList
	known map[string]bool
}

func (u *untilKnown) poll(*testing.T) {
	for offset := 0; ; offset += 100 {
		p, _ := u.list.ask(context.Background(), inEvents, newestFirst, offset, 100)
		for _, r := range p.records {
			if u.known[r.key()] {
				return
			}
			u.known[r.key()] = true
		}
		if !p.more {
			return
		}
	}
}
func (u *untilKnown) restart()     {}
func (u *untilKnown) counted() int { return len(u.known) }

// byCount is another tempting way: oldest first, from the number of rows that were read before.
type byCount struct {
	list   *modelList
	offset int
	known  map[string]bool
}

func (b *byCount) poll(*testing.T) {
	for {
		p, _ := b.list.ask(context.Background(), inEvents, oldestFirst, b.offset, 100)
		for _, r := range p.records {
			b.known[r.key()] = true
		}
		b.offset += len(p.records)
		if !p.more {
			return
		}
	}
}
func (b *byCount) restart()     {}
func (b *byCount) counted() int { return len(b.known) }

// TestTemptingWaysFail shows that the schedules tell right from wrong.
func TestTemptingWaysFail(t *testing.T) {
	wrong := map[string]func(*modelList) reader{
		"until one is known": func(l *modelList) reader { return &untilKnown{l, map[string]bool{}} },
		"offset by count":    func(l *modelList) reader { return &byCount{list: l, known: map[string]bool{}} },
	}
	synctest.Test(t, func(t *testing.T) {
		for name, make := range wrong {
			red := 0
			for seed := range uint64(100) {
				l := newModel(seed)
				f := make(l)
				l.run(t, f)
				keys := map[string]bool{} // phases and twins are not these ways' to find
				for i := range l.made {
					keys[fmt.Sprint(i)] = true
				}
				if f.counted() != len(keys) {
					red++
				}
			}
			if red < 90 {
				t.Errorf("%s: only %d of 100 schedules found it wrong", name, red)
			}
			t.Logf("%s: %d of 100 schedules found it wrong", name, red)
		}
	})
}

// TestAListOfOneMoment is listed oldest first by a service that knows no order, and its first page is of one moment.
func TestAListOfOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newModel(1)
		l.order = func(rows []modelRow) []modelRow { slices.Reverse(rows); return rows }
		o := newOurs(t, l, 20, longBacklog)
		at := now()
		for range 100 {
			l.put(l.row(at))
		}
		o.poll(t)
		for range 10 {
			time.Sleep(modelWindow)
			l.put(l.row(now()))
			o.poll(t)
		}
		if o.counted() != l.happen {
			t.Errorf("%d counted, %d happened", o.counted(), l.happen)
		}
	})
}
