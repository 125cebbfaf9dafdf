package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// spark is a small curve in a row.
type spark struct {
	Path string
	Bad  []string // where the value was not finite
	Text string   // the curve in words
}

const (
	sparkWidth, sparkHeight = 96, 20
	sparkPoints             = 48
)

func sparkOf(points []point) *spark {
	if len(points) < 2 {
		return nil
	}
	words := describe(points)
	points = thin(points, sparkPoints)
	f := frameOf(points)
	path, bad := f.draw(points, sparkWidth, sparkHeight)
	return &spark{Path: path, Bad: bad, Text: words}
}

// thin leaves out points evenly; the newest stays.
func thin(points []point, n int) []point {
	if len(points) <= n {
		return points
	}
	out := make([]point, 0, n)
	for i := range n {
		out = append(out, points[(i+1)*len(points)/n-1])
	}
	return out
}

// frame is the range of what is drawn.
type frame struct {
	from, to uint32
	low, hi  float64
	any      bool // there is a finite value
}

func frameOf(lines ...[]point) frame {
	f := frame{from: math.MaxUint32, low: math.Inf(1), hi: math.Inf(-1)}
	for _, points := range lines {
		for _, p := range points {
			f.from, f.to = min(f.from, p.at), max(f.to, p.at)
			if v := float64(p.v); isFinite(v) {
				f.low, f.hi, f.any = min(f.low, v), max(f.hi, v), true
			}
		}
	}
	if !f.any {
		f.low, f.hi = 0, 0
	}
	return f
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// draw makes an SVG path of the finite values, with gaps where there are others, and the places of those.
func (f frame) draw(points []point, width, height float64) (path string, bad []string) {
	var b strings.Builder
	pen := false
	for _, p := range points {
		x := width / 2
		if f.to > f.from {
			x = float64(p.at-f.from) / float64(f.to-f.from) * width
		}
		if !isFinite(float64(p.v)) {
			pen = false
			bad = append(bad, coordinate(x))
			continue
		}
		y := height / 2
		if f.hi > f.low {
			y = height - 1 - (float64(p.v)-f.low)/(f.hi-f.low)*(height-2)
		}
		if pen {
			b.WriteByte('L')
		} else {
			b.WriteByte('M')
		}
		pen = true
		b.WriteString(coordinate(x))
		b.WriteByte(' ')
		b.WriteString(coordinate(y))
	}
	if n := len(bad); n > 12 {
		bad = bad[n-12:]
	}
	return b.String(), bad
}

func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// describe says a curve in words.
func describe(points []point) string {
	f := frameOf(points)
	if !f.any {
		return "no finite value"
	}
	var first, last float64
	bad := 0
	for i := len(points) - 1; i >= 0; i-- {
		v := float64(points[i].v)
		if !isFinite(v) {
			bad++
			continue
		}
		if first = v; bad == len(points)-1-i {
			last = v
		}
	}
	text := fmt.Sprintf("from %s to %s in %s, lowest %s, highest %s", number(first), number(last),
		span(time.Duration(f.to-f.from)*time.Second), number(f.low), number(f.hi))
	if !isFinite(float64(points[len(points)-1].v)) {
		text = fmt.Sprintf("from %s, lowest %s, highest %s, now not finite", number(first), number(f.low), number(f.hi))
	} else if bad > 0 {
		text += ", " + plural(bad, "value", "values") + " not finite"
	}
	return text
}

// chart is a large drawing of up to three curves.
type chart struct {
	Title     label
	Now       string
	Low, High string
	Mid       string // in place of both where all values are one
	From, To  string
	Lines     []line
	Text      string
}

type line struct {
	Name  label
	Class string
	Path  string
	Bad   []string
	Now   string
}

const chartWidth, chartHeight = 600, 120

var lineClasses = [...]string{"l1", "l2", "l3", "l4"}

// charts draws the curves of a job: the splits of the loss and of the accuracy together, each other curve alone.
func charts(all []series) []chart {
	var out []chart
	joined := map[collector.Metric]bool{}
	for _, s := range all {
		switch s.metric {
		case collector.Loss, collector.Accuracy:
			if joined[s.metric] {
				continue
			}
			joined[s.metric] = true
			var same []series
			for _, o := range all {
				if o.metric == s.metric && len(same) < len(lineClasses) {
					same = append(same, o)
				}
			}
			slices.SortStableFunc(same, func(a, b series) int { return trainFirst(a) - trainFirst(b) })
			out = append(out, chartOf(same))
		default:
			out = append(out, chartOf([]series{s}))
		}
	}
	return out
}

func trainFirst(s series) int {
	if s.label == "train" {
		return 0
	}
	return 1
}

var curveNames = map[collector.Metric]string{
	collector.Loss: "Loss", collector.Accuracy: "Accuracy", collector.LearningRate: "Learning rate", collector.GradientNorm: "Gradient norm",
	collector.TokensPerSecond: "Tokens per second", collector.SamplesPerSecond: "Samples per second", collector.Step: "Steps per minute",
}

func chartOf(lines []series) chart {
	s := lines[0]
	c := chart{Title: labelOf(s.label, 60)}
	if name, ok := curveNames[s.metric]; ok {
		c.Title = label{name, name}
	}
	var points [][]point
	for _, l := range lines {
		points = append(points, l.points)
	}
	f := frameOf(points...)
	c.Low, c.High = number(f.low), number(f.hi)
	switch {
	case !f.any:
		c.Low, c.High = "", ""
	case f.low == f.hi:
		c.Low, c.High, c.Mid = "", "", c.Low
	}
	c.From, c.To = hour(f.from), hour(f.to)
	var words []string
	for i, l := range lines {
		path, bad := f.draw(l.points, chartWidth, chartHeight)
		now := number(float64(l.points[len(l.points)-1].v))
		c.Lines = append(c.Lines, line{Name: labelOf(l.label, 24), Class: lineClasses[i], Path: path, Bad: bad, Now: now})
		words = append(words, strings.TrimSpace(clean(l.label)+" "+describe(l.points)))
	}
	if len(c.Lines) == 1 {
		c.Now = c.Lines[0].Now
	}
	c.Text = c.Title.Full + ": " + strings.Join(words, "; ")
	return c
}

func hour(at uint32) string { return time.Unix(int64(at), 0).UTC().Format("02 Jan 15:04:05") }
