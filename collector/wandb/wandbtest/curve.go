package wandbtest

import (
	"math"
	"math/rand/v2"
	"strconv"
)

// curve is how the numbers of a run develop with its gradient steps.
type curve struct {
	high, floor, decay float64 // loss: from high to floor with this many steps
	noise              float64
	rate               float64 // peak learning rate
	top                float64 // reward that is approached
	tokens             float64 // per step
}

func newCurve(rng *rand.Rand, s style) curve {
	c := curve{
		high: 1.8 + 0.8*rng.Float64(), floor: 0.35 + 0.3*rng.Float64(), decay: 120 + 120*rng.Float64(), noise: 0.03,
		rate: 1e-5 * float64(1+rng.IntN(9)), top: 0.7 + 0.25*rng.Float64(), tokens: float64(20_000 + rng.IntN(40_000)),
	}
	if s != styleSFT {
		c.high, c.floor, c.decay, c.noise = 0.4+0.2*rng.Float64(), 0.02+0.05*rng.Float64(), 400, 0.02
		c.rate /= 10
	}
	return c
}

func (c *curve) fall(i int, high, floor float64) float64 {
	return floor + (high-floor)*math.Exp(-float64(i)/c.decay)
}

func (c *curve) reward(i int) float64 {
	return round(c.top * (1 - 0.9*math.Exp(-float64(i)/(3*c.decay))))
}

// learning warms up over 20 steps and then decays.
func (c *curve) learning(i int) float64 {
	return round(c.rate * min(1, float64(i+1)/20) * (0.1 + 0.9*math.Exp(-float64(i)/(6*c.decay))))
}

// round keeps six significant digits, as much as a reader needs.
func round(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil { // what was formatted parses
		return v
	}
	return r
}

// values are those of the next gradient step.
func (t *training) values() []Value {
	i, c, rng := t.gstep, &t.curve, t.rng
	loss := round(c.fall(i, c.high, c.floor) * (1 + c.noise*rng.NormFloat64()*2))
	norm := round(c.fall(i, 2.5, 0.6) * (0.7 + 0.6*rng.Float64()))
	if t.due() {
		loss, norm = t.diverge(loss, norm)
	}
	t.loss = loss
	switch t.style {
	case styleRL2025:
		kl := round(0.08 * (1 - math.Exp(-float64(i)/c.decay)) * (0.8 + 0.4*rng.Float64()))
		return []Value{
			{"policy_loss", loss}, {"loss", round(loss + 0.05*kl)}, {"grad_norm", norm}, {"kl_div", kl},
			{"entropy", round(c.fall(i, 0.9, 0.25))},
		}
	case styleSFT:
		return t.tuning(loss, norm)
	}
	out := []Value{
		{"loss/train", loss}, {"loss/grad_norm", norm}, {"loss/entropy", round(c.fall(i, 0.9, 0.25))},
		{"loss/learning_rate", c.learning(i)},
	}
	if t.done == t.planned-1 {
		spread := round(0.3 * (1 - c.reward(i)) * (0.8 + 0.4*rng.Float64()))
		out = append(out, Value{"reward", round(c.reward(i) * (1 + 0.05*rng.NormFloat64()))}, Value{"reward_std_dev", spread})
	}
	if t.done == 0 && t.step%5 == 0 {
		out = append(out, Value{"val/reward", round(c.reward(i) * (0.95 + 0.05*rng.Float64()))})
	}
	return out
}

func (t *training) tuning(loss, norm float64) []Value {
	took := (t.f.now - t.last).Seconds()
	tokens := math.Round(t.curve.tokens * (0.8 + 0.4*t.rng.Float64()))
	return []Value{
		{"loss", loss}, {"learning_rate", t.curve.learning(t.gstep)}, {"grad_norm", norm}, {"num_tokens", tokens},
		{"num_trainable_tokens", math.Round(tokens * 0.4)}, {"tokens_per_second", round(tokens / took)},
		{"num_trajectories", float64(8 + t.rng.IntN(25))}, {"time/step_trainer_s", took},
	}
}

// diverge spoils loss and gradient norm once a run's fate says so.
func (t *training) diverge(loss, norm float64) (float64, float64) {
	switch t.fate {
	case fateNaN:
		return math.NaN(), math.NaN()
	case fateInf:
		if t.f.now-t.began-t.fateAt < 3*t.pace {
			return math.Inf(1), math.Inf(1)
		}
		return math.NaN(), math.Inf(1)
	}
	return loss, norm
}
