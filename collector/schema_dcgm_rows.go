package collector

import "math"

type dcgmRow = Row[*DCGMView]

// dcgmField is a number as dcgm-exporter shows it, under the name of either generation.
type dcgmField struct {
	classic dcgmName
	renamed dcgmName // nothing where both generations have the same name and unit
	help    string
	tier    Tier
	counter bool // to dcgm-exporter
	read    func(*DCGMView) (float64, bool)
}

type dcgmName struct {
	name, unit string
	of         func(float64) float64 // from the base unit
}

// DCGMRows is the table of what dcgm-exporter shows of a GPU, in both generations of its names: rows of the generation that a
// view does not have append nothing. All are gauges, because a counter's name has to end in _total.
func DCGMRows() []Row[*DCGMView] {
	var rows []dcgmRow
	for _, part := range [][]dcgmField{
		dcgmClocks(), dcgmPower(), dcgmLoad(), dcgmMemory(), dcgmThrottling(), dcgmErrors(), dcgmRepairs(), dcgmLinks(), dcgmProfile(),
	} {
		for i := range part {
			rows = append(rows, part[i].rows()...)
		}
	}
	return append(rows, dcgmXID("DCGM_FI_DEV_XID_ERRORS", false), dcgmXID("DCGM_FI_DEV_XID_ERROR", true))
}

func (f *dcgmField) rows() []dcgmRow {
	all := f.row(f.classic)
	if f.renamed.name == "" {
		all.read = f.points(f.classic, func(*DCGMView) bool { return true })
		return []dcgmRow{all}
	}
	all.read = f.points(f.classic, func(v *DCGMView) bool { return !v.Renamed })
	renamed := f.row(f.renamed)
	renamed.read = f.points(f.renamed, func(v *DCGMView) bool { return v.Renamed })
	return []dcgmRow{all, renamed}
}

func (f *dcgmField) row(n dcgmName) dcgmRow {
	help := f.help
	if n.unit != "" {
		help += ", in " + n.unit
	}
	help += "."
	if f.counter {
		help += " It counts up, but is a gauge here, because its name does not end in _total."
	}
	return dcgmRow{Name: n.name, Prom: promName(n.name, "", Gauge), Kind: Gauge, Tier: f.tier, Help: help}
}

func (f *dcgmField) points(n dcgmName, wanted func(*DCGMView) bool) func(*DCGMView, *Points) {
	return func(v *DCGMView, to *Points) {
		if !wanted(v) {
			return
		}
		if x, ok := f.read(v); ok {
			to.Add(n.of(x))
		}
	}
}

// own is a value that a MIG instance has for itself or not at all.
func own(m GPUMetric, label string) func(*DCGMView) (float64, bool) {
	return func(v *DCGMView) (float64, bool) { return v.Value(m, label) }
}

// shared is a value that a MIG instance shows of its GPU.
func shared(m GPUMetric, label string) func(*DCGMView) (float64, bool) {
	return func(v *DCGMView) (float64, bool) { return v.board(m, label) }
}

// dcgm-exporter shows whole numbers in these units.

func megahertz(hertz float64) float64         { return math.Round(hertz / 1e6) }
func percent(ratio float64) float64           { return math.Round(ratio * 100) }
func mebibytes(bytes float64) float64         { return math.Floor(bytes / (1 << 20)) }
func millijoules(joules float64) float64      { return math.Round(joules * 1e3) }
func nanoseconds(seconds float64) float64     { return math.Round(seconds * 1e9) }
func linkMegabytes(bytes float64) float64     { return math.Floor(bytes / 1024 / 1000) } // thousands of KiB
func wholeNumber(x float64) float64           { return math.Floor(x) }
func asItIs(x float64) float64                { return x }
func dcgmPlain(name string) dcgmName          { return dcgmName{name: name, of: asItIs} }
func dcgmRatio(name string) dcgmName          { return dcgmName{name: name, of: asItIs} }
func dcgmPercent(name string) dcgmName        { return dcgmName{name, "percent", percent} }
func dcgmMHz(name string) dcgmName            { return dcgmName{name, "MHz", megahertz} }
func dcgmHertz(name string) dcgmName          { return dcgmName{name, "hertz", wholeNumber} }
func dcgmMiB(name string) dcgmName            { return dcgmName{name, "MiB", mebibytes} }
func dcgmBytes(name string) dcgmName          { return dcgmName{name, "bytes", wholeNumber} }
func dcgmCelsius(name string) dcgmName        { return dcgmName{name, "degrees Celsius", asItIs} }
func dcgmWatts(name string) dcgmName          { return dcgmName{name, "watts", asItIs} }
func dcgmNanoseconds(name string) dcgmName    { return dcgmName{name, "nanoseconds", nanoseconds} }
func dcgmSeconds(name string) dcgmName        { return dcgmName{name, "seconds", asItIs} }
func dcgmBytesPerSecond(name string) dcgmName { return dcgmName{name, "bytes per second", wholeNumber} }
