package collector

import (
	"slices"
	"strings"
)

// phaseOrder is the order in which phases are exposed.
var phaseOrder = Phases()

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// exponents are the classic bounds 2^from to 2^to.
func exponents(from, to int) []int {
	var e []int
	for ; from <= to; from++ {
		e = append(e, from)
	}
	return e
}

// promName is the Prometheus name of a gauge or counter: base units spelled out, a ratio for a gauge of unit 1, _total for
// counters. A test holds it to the standard translation.
func promName(name, unit string, k Kind) string {
	p := PromLabel(name)
	switch {
	case unit == "1" && k == Gauge:
		p += "_ratio"
	case unit != "":
		p += unitSuffix(unit)
	}
	if k == Counter {
		p += "_total"
	}
	return p
}

func unitSuffix(unit string) string {
	base, per, _ := strings.Cut(unit, "/")
	suffix := map[string]string{
		"s": "_seconds", "By": "_bytes", "J": "_joules", "W": "_watts", "Hz": "_hertz", "Cel": "_celsius",
	}[base]
	if per == "s" {
		suffix += "_per_second"
	}
	return suffix
}

func readingRow(m Metric, tier Tier, name, unit, help string) jobRow {
	return jobRow{
		Name: name, Prom: promName(name, unit, Gauge), Unit: unit, Kind: Gauge, Tier: tier, Help: help,
		read: func(j *Job, to *Points) { addReadings(to, j.Readings, m) },
	}
}

func addReadings(to *Points, rs []Reading, m Metric) {
	first, _ := findReading(rs, m, "")
	for _, r := range rs[first:] {
		if r.Metric != m {
			return
		}
		if !r.Null {
			to.addJoined(r.Value, r.Label)
		}
	}
}

// upDown makes a gauge row a non-monotonic sum: the values of different jobs add up to something.
func upDown(r jobRow) jobRow {
	r.Kind = UpDown
	r.Prom = promName(r.Name, r.Unit, UpDown)
	return r
}

func labelled(r jobRow, labels ...string) jobRow {
	r.Labels = labels
	return r
}

func timeRow(name, help string, tier Tier, get func(*Job) Time) jobRow {
	return jobRow{
		Name: name, Prom: promName(name, "s", Gauge), Unit: "s", Kind: Gauge, Tier: tier, Help: help,
		read: func(j *Job, to *Points) { addTime(to, get(j)) },
	}
}

func addTime(to *Points, t Time) {
	if t.Known() {
		to.Add(t.Seconds())
	}
}

func counterRow(name, unit, help string, get func(*Job) uint64) jobRow {
	return jobRow{
		Name: name, Prom: promName(name, unit, Counter), Unit: unit, Kind: Counter, Help: help,
		read: func(j *Job, to *Points) {
			if j.caughtUp() {
				to.Add(float64(get(j)))
			}
		},
	}
}

func addCounts(to *Points, counts []Count) {
	for _, c := range counts {
		to.Add(float64(c.N), c.Name)
	}
}

// fewSteps is how many intervals a median needs to mean anything.
const fewSteps = 5

func medianInterval(seconds []float32) (float64, bool) {
	if len(seconds) < fewSteps {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(seconds))
	return float64(sorted[len(sorted)/2]), true
}
