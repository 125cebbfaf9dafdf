package collectortest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

func toy(bug string, tokens bool) Subject {
	return Subject{
		Open: openToy(bug, tokens), Pages: true, Tokens: tokens,
		Service: func(testing.TB) Service { return newToyService(tokens) },
	}
}

// TestRun has a source that is good.
func TestRun(t *testing.T) { Run(t, toy("", false)) }

func TestRunWithTokens(t *testing.T) { Run(t, toy("", true)) }

// TestRunNotices has sources with one bug each, and the trials that must see it.
func TestRunNotices(t *testing.T) {
	for _, test := range []struct {
		bug    string
		tokens bool
		red    []string
	}{
		{"ignores the context", false, []string{
			"context cancelled before", "context cancelled during a request", "context cancelled during a pause", "deadline",
		}},
		{"hides the context", false, []string{"context cancelled before", "context cancelled during a request"}},
		{"a part is everything", false, []string{"missing pages", "broken pages"}},
		{"nothing is no jobs", false, []string{"every answer an empty object", "broken pages"}},
		{"believes any page", false, []string{"duplicate pages"}},
		{"forgets its place", false, []string{"well"}},
		{"skips what fails", false, []string{"every answer 500", "missing pages", "faults come and go"}},
		{"swallows errors", false, []string{"every answer 500", "every answer garbage", "deadline"}},
		{"ends what is not found", false, []string{"every answer 404"}},
		{"asks again and again", false, []string{"every answer garbage", "every answer 404"}},
		{"counts twice", false, []string{"well", "restarts"}},
		{"no classes", false, []string{"every answer 500", "every answer silence", "unreachable"}},
		{"no operation", false, []string{"every answer 500"}},
		{"no limits", false, []string{"every answer a gzip bomb"}},
		{"own client", false, []string{
			"every answer a redirect", "every answer of another type", "every answer 500", "every answer a flood of headers",
			"too many requests, wait in seconds", "too many requests, wait as a date", "unavailable, wait in seconds",
		}},
		{"shows the key", false, []string{"every answer 500", "unreachable"}},
		{"shows the query", false, []string{"every answer 500"}},
		{"logs the key", false, []string{"well"}},
		{"leaves a goroutine", false, []string{"well"}},
		{"helpless probe", false, []string{"bad credential"}},
		{"a token each time", true, []string{"token ends while reading", "token ends for many at once", "first token for many at once"}},
		{"a token for everyone", true, []string{"token ends for many at once"}},
		{"an eternal token", true, []string{"token ends while reading", "token ends in time"}},
	} {
		t.Run(test.bug, func(t *testing.T) {
			red := failing(t, toy(test.bug, test.tokens), test.red)
			for _, name := range test.red {
				if red[name] == "" {
					t.Errorf("%q did not notice", name)
				}
				t.Logf("%s: %.300s", name, red[name])
			}
		})
	}
}

// failing runs the trials with these names and returns the first failure of each that fails.
func failing(t *testing.T, s Subject, names []string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range trials() {
		if !slices.Contains(names, c.name) {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{TB: t}
			done := make(chan struct{})
			go func() { // Fatal ends it
				defer close(done)
				c.run(r, s)
			}()
			<-done
			if len(r.failures) > 0 {
				out[c.name] = r.failures[0]
			}
		})
	}
	return out
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) FailNow() { runtime.Goexit() }

func (r *recorder) Error(args ...any) { r.Errorf("%s", strings.TrimSpace(fmt.Sprintln(args...))) }

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}
