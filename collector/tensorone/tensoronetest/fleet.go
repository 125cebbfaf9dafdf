package tensoronetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// FleetOptions configure a Fleet.
type FleetOptions struct {
	Seed  int64
	Speed float64       // virtual seconds per real second in Run; default 30
	Jobs  int           // how many jobs live at once, those that have ended not counted; default 8
	Tick  time.Duration // how often Run looks, in real time; default 250 ms
	Keep  time.Duration // virtual time after which a job that ended is deleted; default 2 h

	// Healthy is a fleet that nothing is wrong with: every job queues for a minute or three, trains, saves checkpoints and completes.
	Healthy bool
}

func (o FleetOptions) withDefaults() FleetOptions {
	if !(o.Speed > 0) {
		o.Speed = 30
	}
	if o.Jobs <= 0 {
		o.Jobs = len(plots())
	}
	if o.Tick <= 0 {
		o.Tick = 250 * time.Millisecond
	}
	if o.Keep <= 0 {
		o.Keep = 2 * time.Hour
	}
	return o
}

// beat is the virtual time between two changes of a job.
const beat = 10 * time.Second

// Fleet drives jobs of a Server in virtual time, which starts at 0. What happens between two calls of Advance is dated
// between them by the server's clock, at the same proportion, so that no time an answer shows is in the future. Its methods are safe for
// concurrent use.
type Fleet struct {
	s *Server
	o FleetOptions

	mu    sync.Mutex
	now   time.Duration // virtual, to which was advanced
	beats time.Duration // virtual, of the last beat
	clock time.Time     // the server's at now
	scale float64       // the server's time for a unit of virtual time
	slots []*slot
}

// slot is a place in the fleet: when its job ended, another plot follows.
type slot struct {
	number, round int
	begins        time.Duration
	run           *run
	over          []ended
}

type ended struct {
	id string
	at time.Duration
}

// NewFleet makes a fleet on s. Nothing happens before Advance or Run is called. A server takes one fleet.
func NewFleet(s *Server, o FleetOptions) *Fleet {
	f := &Fleet{s: s, o: o.withDefaults(), clock: s.o.Now(), scale: 1}
	for i := range f.o.Jobs {
		f.slots = append(f.slots, &slot{number: i, begins: time.Duration(i) * 20 * time.Second})
	}
	s.fleet.Store(f)
	return f
}

// Advance lets virtual time go on by d. Many small advances do the same as a large one, but for the dates.
func (f *Fleet) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d <= 0 {
		return
	}
	clock := f.s.o.Now()
	from, until := f.now, f.now+d
	if took := clock.Sub(f.clock); took > 0 {
		f.scale = float64(took) / float64(d)
	} else {
		f.scale = 0
	}
	for ; f.beats+beat <= until; f.beats += beat {
		at := f.clock.Add(time.Duration(float64(f.beats+beat-from) * f.scale))
		for _, sl := range f.slots {
			f.step(sl, f.beats+beat, at)
		}
	}
	f.now, f.clock = until, clock
}

// Now is the virtual time that was reached.
func (f *Fleet) Now() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Run advances with the clock, Speed times as fast, until ctx ends; it then returns nil.
func (f *Fleet) Run(ctx context.Context) error {
	tick := time.NewTicker(f.o.Tick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			now := time.Now()
			f.Advance(time.Duration(float64(now.Sub(last)) * f.o.Speed))
			last = now
		}
	}
}

// step lets one beat of a slot happen, at a virtual time and by the server's clock.
func (f *Fleet) step(sl *slot, now time.Duration, at time.Time) {
	sl.over = slices.DeleteFunc(sl.over, func(e ended) bool {
		old := now-e.at > f.o.Keep
		if old {
			f.s.Remove(e.id)
		}
		return old
	})
	if sl.run == nil && now >= sl.begins {
		sl.run = f.begin(sl, at)
		sl.round++
		return
	}
	if sl.run == nil || !sl.run.beat(f, at) {
		return
	}
	sl.over = append(sl.over, ended{sl.run.id, now})
	sl.begins = now + time.Duration(1+sl.run.rng.IntN(10))*time.Minute
	sl.run = nil
}

// begin creates the next job of a slot.
func (f *Fleet) begin(sl *slot, at time.Time) *run {
	all := plots()
	p := all[(sl.number+3*sl.round)%len(all)]
	rng := rand.New(rand.NewPCG(mix(uint64(f.o.Seed)), uint64(sl.number)<<32|uint64(sl.round)))
	if f.o.Healthy {
		p.fate = well
	}
	r := newRun(p, rng)
	r.id = f.s.AddJob(Job{
		ID:   fmt.Sprintf("job_train_%s_%d%03d", p.slug, sl.number, sl.round),
		Name: p.name, Created: at, Updated: at, Framework: p.framework, ModelType: p.modelType, BaseModel: p.base, GPUType: p.gpu, GPUs: p.gpus,
	})
	return r
}
