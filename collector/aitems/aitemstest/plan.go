package aitemstest

import (
	"math/rand/v2"
	"time"
)

// fate is how a training ends.
type fate uint8

const (
	completes fate = iota
	isRefused      // requestFailed
	isUnclean      // refinedFailed
	breaks         // learningFailed
	isStopped      // stopping, then off the list
)

// plan is a service and what is trained in it.
type plan struct {
	Service
	lines []line
}

// line is one type of model that is trained again and again.
type line struct {
	kind   string
	first  time.Duration // when it is first trained
	every  time.Duration // between trainings
	learns time.Duration // about how long one takes
	epochs int
	text   string // description
	fates  []fate // of the trainings, over and over

	service  string
	interval time.Duration
	rng      *rand.Rand
}

func plans() []plan {
	return []plan{
		{Service{Name: "shop_reco", Interval: 6 * time.Hour}, []line{
			{
				kind: "personalRecommend", first: 5 * time.Second, every: 6 * time.Hour, learns: 70 * time.Minute, epochs: 20,
				fates: []fate{completes},
			},
			{
				kind: "relatedItem", first: 6 * time.Second, every: 6 * time.Hour, learns: 40 * time.Minute,
				fates: []fate{completes, completes, breaks},
			},
			{kind: "pop", first: 7 * time.Second, every: 6 * time.Hour, learns: 15 * time.Minute, fates: []fate{completes}},
		}},
		{Service{Name: "news_feed", Interval: time.Hour}, []line{
			{kind: "pop", first: time.Minute, every: time.Hour, learns: 12 * time.Minute, fates: []fate{completes, isRefused, completes, isStopped}},
		}},
		{Service{Name: "video_home"}, []line{
			{
				kind: "personalRecommend", first: 2 * time.Minute, every: 24 * time.Hour, learns: 150 * time.Minute, epochs: 50,
				text: "nightly", fates: []fate{completes, breaks},
			},
		}},
		{Service{Name: "book_club"}, []line{
			{
				kind: "relatedItem", first: 3 * time.Minute, every: 4 * time.Hour, learns: 35 * time.Minute,
				text: "new catalogue", fates: []fate{isUnclean, completes},
			},
		}},
	}
}

// train begins the nth training of a line and plans the next.
func (f *Fleet) train(l *line, n int) {
	t := Training{Type: l.kind, Description: l.text, Epochs: l.epochs}
	if l.interval > 0 {
		t.Next = f.s.o.Now().Add(l.interval)
	}
	job := f.s.AddTraining(l.service, t)
	f.note(job, "requesting")
	f.in(l.every, func() { f.train(l, n+1) })
	end := l.fates[n%len(l.fates)]
	asking, waiting, learning := l.about(15*time.Second), l.about(2*time.Minute), l.about(l.learns)
	f.in(asking, func() {
		if end == isRefused {
			f.over(job, "requestFailed")
			return
		}
		f.set(job, "waiting")
		f.in(waiting, func() { f.learn(l, job, end, learning) })
	})
}

// learn is the second half of a training.
func (f *Fleet) learn(l *line, job string, end fate, length time.Duration) {
	if end == isUnclean {
		f.over(job, "refinedFailed")
		return
	}
	f.set(job, "learning")
	f.in(length, func() {
		switch end {
		case breaks:
			f.over(job, "learningFailed")
		case isStopped:
			f.set(job, "stopping")
			f.in(l.about(5*time.Minute), func() { f.drop(job) })
		default:
			f.over(job, "completed")
			f.refresh(l, job)
		}
	})
}

// refresh plans the one refresh run of a model of an interval service.
func (f *Fleet) refresh(l *line, job string) {
	if l.interval <= 0 {
		return
	}
	length, users := l.about(3*time.Minute), 1000+l.rng.IntN(9000)
	f.in(l.about(l.interval/3), func() {
		r := Refresh{Status: "learning", Asked: f.s.o.Now()}
		if r.Version = f.s.AddRefresh(job, r); r.Version == "" {
			return
		}
		f.note(job, "refresh "+r.Version)
		f.in(length, func() {
			r.Status, r.Finished, r.Users = "completed", f.s.o.Now(), users
			f.s.AddRefresh(job, r)
			f.note(job, "refreshed "+r.Version)
		})
	})
}

func (f *Fleet) set(job, status string) {
	f.s.SetStatus(job, status)
	f.note(job, status)
}

// over is the end of a training, which leaves the list in time.
func (f *Fleet) over(job, status string) {
	f.set(job, status)
	if f.o.Keep >= 0 {
		f.in(f.o.Keep, func() { f.drop(job) })
	}
}

func (f *Fleet) drop(job string) {
	f.s.Remove(job)
	f.note(job, "gone")
}

// about is d, more or less by a fifth.
func (l *line) about(d time.Duration) time.Duration {
	return d*4/5 + time.Duration(l.rng.Int64N(int64(d)*2/5+1))
}
