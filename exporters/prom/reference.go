package prom

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

const referenceIntro = `# Metrics

This page is generated from the table of metrics in the program; do not edit it.

Each metric has two spellings. The Prometheus name is what the standard translation makes of the OpenTelemetry name, unit
and kind, and labels are attribute keys with dots as underscores, so that a query works the same for both ways in.
A value that is not known is an absent series, never 0. NaN and infinities are what the job reported.

Kinds: an *up-down counter* is a gauge to Prometheus and a non-monotonic sum to OpenTelemetry: adding it up over jobs makes sense.
Histograms have eight exponential buckets for each doubling; scrapers that do not take native histograms get powers of two.
`

// Reference writes the page that documents every metric, in Markdown, from the rows of the schema.
func Reference(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, referenceIntro)
	jobs := stays{live: "until the job ends", lasting: "until the retention after the end"}
	gpus := stays{live: "while the GPU answers", lasting: "while the GPU is known"}
	host := stays{live: "while the driver answers", lasting: "always"}
	reference(out, "Jobs", jobs, collector.JobIdentity(), collector.JobRows())
	reference(out, "Groups", jobs, collector.GroupIdentity(), collector.GroupRows())
	reference(out, "Sources", jobs, collector.SourceIdentity(), collector.SourceRows())
	reference(out, "GPUs", gpus, collector.GPUIdentity(), collector.GPURows())
	reference(out, "The machine that has the GPUs", host, nil, collector.GPUHostRows())
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the metrics reference: %w", err)
	}
	return nil
}

// stays says how long series of an entity stay.
type stays struct{ live, lasting string }

func reference[E collector.Entity](w io.Writer, title string, s stays, identity []string, rows []collector.Row[E]) {
	carries := "The series have no label but their own"
	if len(identity) > 0 {
		carries = "Every series carries " + promLabels(identity)
	}
	fmt.Fprintf(w, "\n## %s\n\n%s.\n\n", title, carries)
	fmt.Fprintln(w, "| Prometheus | OpenTelemetry | Kind | Unit | Further labels | Stays | Meaning |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|")
	for _, r := range rows {
		fmt.Fprintf(w, "| `%s` | `%s` | %s | %s | %s | %s | %s |\n", r.Prom, r.Name, kindWord(r.Kind), code(r.Unit),
			promLabels(r.Labels), s.word(r.Tier), strings.ReplaceAll(r.Help, "|", `\|`))
	}
}

func promLabels(keys []string) string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = code(collector.PromLabel(key))
	}
	return strings.Join(names, ", ")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func kindWord(k collector.Kind) string {
	switch k {
	case collector.Counter:
		return "counter"
	case collector.UpDown:
		return "up-down counter"
	case collector.Distribution:
		return "histogram"
	default:
		return "gauge"
	}
}

func (s stays) word(t collector.Tier) string {
	switch t {
	case collector.Live:
		return s.live
	case collector.Forever:
		return "always"
	default:
		return s.lasting
	}
}
