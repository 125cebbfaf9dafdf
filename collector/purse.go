package collector

import "time"

// purse holds what a source may ask for. Polls are paid before they are made, by what they cost on average, and listings
// afterwards; retries are paid like all requests. A twentieth of the budget is left to what nobody plans, such as tokens.
type purse struct {
	rate   float64 // requests per second; 0 is no bound
	burst  float64
	tokens float64
	last   time.Time
	poll   average // requests that a poll costs
	list   average // requests that a listing costs
}

// planned is the share of the budget that polls and listings are planned with.
const planned = 0.95

func newPurse(rate, burst float64) purse {
	if burst <= 0 {
		burst = max(rate, 1)
	}
	return purse{rate: rate, burst: burst, tokens: burst, poll: average{value: 1}}
}

// average is a mean that forgets slowly.
type average struct {
	value float64
	n     float64
}

// memory is how many observations an average remembers.
const memory = 200

func (a *average) add(v float64) {
	a.n = min(a.n+1, memory)
	a.value += (v - a.value) / a.n
}

func (p *purse) refill(now time.Time) {
	if !p.last.IsZero() {
		p.tokens = min(p.burst, p.tokens+p.rate*planned*now.Sub(p.last).Seconds())
	}
	p.last = now
}

// price is what a poll is thought to cost; a poll that costs more than fits is made when the purse is full.
func (p *purse) price() float64 { return min(p.poll.value, p.burst) }

// take pays for one poll if there is enough.
func (p *purse) take(now time.Time) bool {
	if p.rate <= 0 {
		return true
	}
	p.refill(now)
	if p.tokens < p.price() {
		return false
	}
	p.tokens -= p.poll.value
	return true
}

// wait is how long until the next poll can be paid.
func (p *purse) wait(now time.Time) time.Duration {
	if p.rate <= 0 {
		return 0
	}
	p.refill(now)
	lacking := p.price() - p.tokens
	if lacking <= 0 {
		return 0
	}
	return time.Duration(lacking/(p.rate*planned)*float64(time.Second)) + time.Millisecond // past the rounding
}

// full is when the purse can take no more, so that what is not spent is lost; false if it has no bounds.
func (p *purse) full(now time.Time) (time.Time, bool) {
	if p.rate <= 0 {
		return time.Time{}, false
	}
	p.refill(now)
	if p.tokens >= p.burst {
		return now, true
	}
	return now.Add(time.Duration((p.burst-p.tokens)/(p.rate*planned)*float64(time.Second)) + time.Millisecond), true
}

// polled settles what a poll really cost: one request at least, also where a source does not count them.
func (p *purse) polled(cost int64) {
	cost = max(cost, 1)
	p.tokens -= float64(cost) - p.poll.value
	p.poll.add(float64(cost))
}

// listed pays for a listing that was made.
func (p *purse) listed(cost int64) {
	p.tokens -= float64(cost)
	p.list.add(float64(cost))
}

// listing is the shortest time between listings that keeps them within a share of the plan.
func (p *purse) listing(share float64) time.Duration {
	if p.rate <= 0 {
		return 0
	}
	return time.Duration(p.list.value / (p.rate * planned * share) * float64(time.Second))
}

// wanted is how many requests per second so many polls per second and a listing every so often cost.
func (p *purse) wanted(polls float64, every time.Duration) float64 {
	return polls*p.poll.value + p.list.value/max(every, time.Millisecond).Seconds()
}

// load is the cost of so many polls per second as a share of what listings leave of the plan.
func (p *purse) load(polls float64, listEvery time.Duration) float64 {
	if p.rate <= 0 {
		return 0
	}
	left := p.rate*planned - p.list.value/max(listEvery, time.Millisecond).Seconds()
	return max(polls, 0) * p.poll.value / max(left, p.rate*planned/100)
}
