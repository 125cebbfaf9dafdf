package assign

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

const (
	maxEnviron = 1 << 20
	// entryBytes is how much of an entry is looked at. A variable and its value fit.
	entryBytes   = 4096
	maxNameBytes = 128
)

// choice is what an environment says of the variables that are looked for.
type choice struct {
	variable string // the first that is set and not empty; empty if there is none
	job      string // its value; empty if that cannot be the id of a job
}

// choose reads an environment as the kernel shows it. Of all that is in it, it copies nothing but values of the variables.
func choose(r io.Reader, variables []string) (choice, error) {
	limited := &io.LimitedReader{R: r, N: maxEnviron}
	buffer := make([]byte, entryBytes)
	defer clear(buffer)
	in := bufio.NewScanner(limited)
	in.Buffer(buffer, entryBytes)
	tail := false // the entry is longer than the buffer, and its beginning was seen
	in.Split(func(data []byte, end bool) (int, []byte, error) {
		i := bytes.IndexByte(data, 0)
		was := tail
		switch {
		case i >= 0:
			tail = false
			return i + 1, unless(was, data[:i]), nil
		case len(data) >= entryBytes:
			tail = true
			return len(data), unless(was, data), nil
		case end && len(data) > 0:
			return len(data), unless(was || limited.N == 0, data), nil
		default:
			return 0, nil, nil
		}
	})
	values := make(map[string]*choice, len(variables))
	for in.Scan() {
		note(values, in.Bytes(), variables)
	}
	if err := in.Err(); err != nil {
		return choice{}, err
	}
	for _, v := range variables {
		if c := values[v]; c != nil && c.variable != "" {
			return *c, nil
		}
	}
	return choice{}, nil
}

func unless(skip bool, token []byte) []byte {
	if skip {
		return nil
	}
	return token
}

// note remembers an entry if it is one of the variables. As for getenv, the first of several counts.
func note(values map[string]*choice, entry []byte, variables []string) {
	name, value, ok := bytes.Cut(entry, []byte{'='})
	if !ok {
		return
	}
	for _, v := range variables {
		if v != string(name) || values[v] != nil {
			continue
		}
		c := &choice{}
		if len(value) > 0 {
			c.variable = v
		}
		if len(value) <= maxIDBytes && isJobID(string(value)) {
			c.job = string(value)
		}
		values[v] = c
	}
}

// startTime is when a process started, from /proc/PID/stat: two processes with the same number have not the same.
func startTime(stat []byte) (string, bool) {
	const field = 19 // counted from the state; the command before it may hold anything
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return "", false
	}
	fields := strings.Fields(string(stat[i+1:]))
	if len(fields) <= field {
		return "", false
	}
	return fields[field], true
}
