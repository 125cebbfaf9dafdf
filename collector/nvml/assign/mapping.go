package assign

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// mapping is what a mapping file says.
type mapping struct {
	jobs []string // in the order of the file
	bad  []int    // lines that were not understood, from 1
}

// parseMapping reads the format of dcgm-exporter: the id of a job on each line, and perhaps a user after a space. Empty lines
// are nothing, and so is 0, which schedulers write where no job runs.
func parseMapping(data []byte) mapping {
	var m mapping
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	n := 0
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		n++
		fields := strings.Fields(string(line))
		switch {
		case len(fields) == 0 && utf8.Valid(line):
		case len(fields) == 0 || len(fields) > 2 || !utf8.Valid(line) || !isJobID(fields[0]):
			m.bad = append(m.bad, n)
		case fields[0] == "0":
		default:
			m.jobs = append(m.jobs, fields[0])
		}
	}
	return m
}
