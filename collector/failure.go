package collector

import "strings"

// failureClasses map words in a provider's failure message to a class. The first match wins.
var failureClasses = []struct {
	class string
	words []string
}{
	{"out_of_memory", []string{"out of memory", "oom", "oomkill", "outofmemory", "memory limit"}},
	{"diverged", []string{"nan", "diverg", "non-finite", "not finite", "infinite loss"}},
	{"timeout", []string{"timeout", "timed out", "deadline"}},
	{"preempted", []string{"preempt", "evict", "spot"}},
	{"hardware", []string{"xid", "ecc", "nccl", "nvlink", "cuda error", "hardware", "device-side"}},
	{"quota", []string{"quota", "budget", "limit exceeded"}},
	{"data", []string{"dataset", "data set", "jsonl", "artifact", "tokeniz", "parse"}},
	{"storage", []string{"disk", "no space", "storage", "s3", "checkpoint"}},
	{"network", []string{"connection", "network", "unreachable", "dns"}},
	{"image", []string{"imagepull", "errimage", "invalidimage", "failed to pull image"}},
	{"scheduling", []string{"unschedulable", "failedscheduling", "nodes are available", "nodes available"}},
	{crashed, []string{"crashloop", "back-off restarting", "exited with code", "exit code", "segmentation fault", "terminated with signal"}},
}

// wholeWords is the length up to which a word must stand alone: nanogpt is not NaN.
const wholeWords = 4

// crashed is the class of a failure of which only is known that a process ended.
const crashed = "crashed"

// unspecified is the class of a failure without a message.
const unspecified = "unspecified"

// FailureClass is the class of a failure by its message: a hint for grouping, from a closed set.
func FailureClass(message string) string {
	if strings.TrimSpace(message) == "" {
		return unspecified
	}
	words := strings.FieldsFunc(strings.ToLower(message), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
	plain := " " + strings.Join(words, " ") + " "
	for _, c := range failureClasses {
		for _, w := range c.words {
			if len(w) <= wholeWords && !strings.Contains(w, " ") {
				w += " "
			}
			if strings.Contains(plain, " "+w) {
				return c.class
			}
		}
	}
	return OtherClass
}

// FailureClasses lists the closed set.
func FailureClasses() []string {
	classes := make([]string, 0, len(failureClasses)+2)
	for _, c := range failureClasses {
		classes = append(classes, c.class)
	}
	return append(classes, unspecified, OtherClass)
}
