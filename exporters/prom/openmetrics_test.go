package prom

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// checkOpenMetrics is a strict reader of OpenMetrics 1.0 text, written from the specification and sharing nothing with the
// encoder: metadata before samples, families never interleaved, the order and names of samples by type, exemplars only on
// buckets, units that end the name, no double series, one end.
func checkOpenMetrics(body []byte) error {
	c := omChecker{seen: map[string]bool{}, series: map[string]bool{}}
	lines := strings.SplitAfter(string(body), "\n")
	if len(lines) < 2 || lines[len(lines)-1] != "" || lines[len(lines)-2] != "# EOF\n" {
		return fmt.Errorf("does not end in # EOF and a line feed")
	}
	for i, l := range lines[:len(lines)-2] {
		if err := c.line(strings.TrimSuffix(l, "\n")); err != nil {
			return fmt.Errorf("line %d: %w: %s", i+1, err, l)
		}
	}
	return nil
}

type omChecker struct {
	family, kind string
	sampled      bool
	seen, series map[string]bool
}

var (
	omLabels   = `\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\\\|\\"|\\n)*"(?:,[a-zA-Z_]\w*="(?:[^"\\\n]|\\\\|\\"|\\n)*")*)?\}`
	omNumber   = `(?:[+-]?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Inf)|NaN)`
	omMetadata = regexp.MustCompile(`^# (HELP|TYPE|UNIT) ([a-zA-Z_:][\w:]*) (.*)$`)
	omSample   = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)(` + omLabels + `)? (` + omNumber + `)( # ` + omLabels + ` ` + omNumber + `(?: \d+(?:\.\d+)?)?)?$`)
	omLe       = regexp.MustCompile(`[,{]le="([^"]*)"`)
	omHelp     = regexp.MustCompile(`^(?:[^"\\]|\\\\|\\"|\\n)*$`)
)

func (c *omChecker) line(l string) error {
	if m := omMetadata.FindStringSubmatch(l); m != nil {
		return c.metadata(m[1], m[2], m[3])
	}
	if strings.HasPrefix(l, "#") {
		return fmt.Errorf("a comment that is not metadata")
	}
	m := omSample.FindStringSubmatch(l)
	if m == nil {
		return fmt.Errorf("not a sample")
	}
	return c.sample(m[1], m[2], m[3], m[4])
}

func (c *omChecker) metadata(what, name, rest string) error {
	if name != c.family {
		if c.seen[name] {
			return fmt.Errorf("the family stands twice")
		}
		c.seen[name] = true
		c.family, c.kind, c.sampled = name, "unknown", false
	}
	switch {
	case c.sampled:
		return fmt.Errorf("metadata after samples")
	case what == "HELP" && !omHelp.MatchString(rest):
		return fmt.Errorf("help is not escaped")
	case what == "TYPE" && !slices.Contains([]string{"counter", "gauge", "histogram", "summary", "unknown", "info", "stateset"}, rest):
		return fmt.Errorf("unknown type")
	case what == "TYPE":
		c.kind = rest
	case what == "UNIT" && !strings.HasSuffix(name, "_"+rest):
		return fmt.Errorf("the name does not end in the unit")
	}
	return nil
}

func (c *omChecker) sample(name, labels, value, exemplar string) error {
	c.sampled = true
	suffix, ok := strings.CutPrefix(name, c.family)
	allowed := map[string]string{"counter": "_total", "gauge": "", "unknown": "", "histogram": "_bucket _sum _count", "summary": " _sum _count"}
	if list, known := allowed[c.kind]; !ok || !known || !strings.Contains(" "+list+" ", " "+suffix+" ") {
		return fmt.Errorf("the sample is not one of %s %q", c.kind, c.family)
	}
	if c.series[name+labels] {
		return fmt.Errorf("the series stands twice")
	}
	c.series[name+labels] = true
	if exemplar != "" && suffix != "_bucket" && suffix != "_total" {
		return fmt.Errorf("an exemplar where none may be")
	}
	if v, err := strconv.ParseFloat(value, 64); c.kind == "counter" && (err != nil || !(v >= 0)) {
		return fmt.Errorf("a counter that is not a number from 0 up")
	}
	if suffix == "_bucket" {
		le := omLe.FindStringSubmatch(labels)
		if le == nil || le[1] != "+Inf" && !strings.ContainsAny(le[1], ".e") {
			return fmt.Errorf("le is missing or not a canonical number")
		}
	}
	return nil
}
