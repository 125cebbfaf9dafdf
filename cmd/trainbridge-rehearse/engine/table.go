package engine

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

const (
	tableRows = 10 // of one alert; how many more there were stands in a last one
	cellWidth = 40 // of one label's value
)

// WriteTable writes the timeline for people: the alerts that fired, a line for each, those of one name together; then what was
// only pending, how the scrapes went, and the trouble. Times count from the start of the rehearsal.
func (t Timeline) WriteTable(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	groups := byName(t.Fired())
	if len(groups) == 0 {
		_, _ = fmt.Fprintln(out, "No alert fired.")
	} else {
		_, _ = fmt.Fprintln(out, "ALERT\tWHICH\tFIRED\tFOR\tRESOLVED")
	}
	for _, alerts := range groups {
		t.writeAlerts(out, alerts)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return t.writeRemarks(w)
}

// writeAlerts writes the rows of one name. A tabwriter keeps its first error for Flush.
func (t Timeline) writeAlerts(w io.Writer, alerts []Alert) {
	shown := alerts
	if len(alerts) > tableRows+1 { // a line that says "1 more" could as well tell of it
		shown = alerts[:tableRows]
	}
	which := tell(alerts)
	for i, a := range shown {
		resolved := "still firing"
		if !a.Resolved.IsZero() {
			resolved = t.since(a.Resolved)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Name, which[i], t.since(a.Fired), span(a.Lasted(t.End)), resolved)
	}
	more := alerts[len(shown):]
	if len(more) == 0 {
		return
	}
	longest, firing := time.Duration(0), 0
	for _, a := range more {
		longest = max(longest, a.Lasted(t.End))
		if a.Resolved.IsZero() {
			firing++
		}
	}
	_, _ = fmt.Fprintf(w, "%s\tand %d more\t%s to %s\tup to %s\t%d still firing\n",
		more[0].Name, len(more), t.since(more[0].Fired), t.since(more[len(more)-1].Fired), span(longest), firing)
}

// writeRemarks writes what is no alert that fired.
func (t Timeline) writeRemarks(w io.Writer) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	var pending []string
	for _, alerts := range byName(slices.DeleteFunc(slices.Clone(t.Alerts), Alert.HasFired)) {
		pending = append(pending, fmt.Sprintf("%s (%d)", alerts[0].Name, len(alerts)))
	}
	line("")
	if len(pending) > 0 {
		line("Pending, but never fired: %s.", strings.Join(pending, ", "))
	}
	line("%s passed; %d scrapes, %d of them failed.", span(t.End.Sub(t.Start)), t.Scrapes, t.FailedScrapes)
	for _, e := range t.ScrapeErrors {
		line("Scrape failed: %s.", clean(e.String(), 4*cellWidth))
	}
	for _, e := range t.Trouble {
		line("Trouble: %s.", clean(e.String(), 16*cellWidth))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// since is a time as people count it from the start.
func (t Timeline) since(at time.Time) string { return "+" + span(at.Sub(t.Start)) }

// span is a duration in whole seconds, such as 1h12m30s.
func span(d time.Duration) string { return model.Duration(d.Round(time.Second)).String() }

// byName are the alerts of each name, in the order in which the first of each came.
func byName(alerts []Alert) [][]Alert {
	var groups [][]Alert
	index := make(map[string]int)
	for _, a := range alerts {
		i, known := index[a.Name]
		if !known {
			i = len(groups)
			index[a.Name] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], a)
	}
	return groups
}

// tell says of alerts of one name which each is: in short, unless that is the same for two that are not.
func tell(alerts []Alert) []string {
	short := make([]string, len(alerts))
	known := make(map[string]string)
	for i, a := range alerts {
		short[i] = whichOf(a.Labels, omit(a.Labels))
		all := whichOf(a.Labels, nil)
		if other, there := known[short[i]]; there && other != all {
			for i, a := range alerts {
				short[i] = whichOf(a.Labels, []string{model.AlertNameLabel})
			}
			return short
		}
		known[short[i]] = all
	}
	return short
}

// omit are the labels that do not help a reader to tell alerts apart: a job that has a name needs no id, a GPU that has a number on
// its node needs none either, and the scrape job is the same for all.
func omit(labels map[string]string) []string {
	names := []string{
		model.AlertNameLabel, model.JobLabel, "severity", "training_project", "training_owner", "nvml_gpu_name",
	}
	if labels["training_job_name"] != "" {
		names = append(names, "training_job_id")
	}
	if labels["nvml_gpu_index"] != "" {
		names = append(names, "hw_id")
	}
	return names
}

// whichOf is an alert's labels, without some: the source and the job first, and without the prefixes that all have.
func whichOf(labels map[string]string, without []string) string {
	var words []string
	for name, value := range labels {
		if slices.Contains(without, name) {
			continue
		}
		name = strings.TrimPrefix(strings.TrimPrefix(name, "training_"), "nvml_")
		words = append(words, clean(name, cellWidth)+"="+clean(value, cellWidth))
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })
	return strings.Join(words, " ")
}

// rank brings what a reader looks for to the front.
func rank(word string) int {
	for i, prefix := range []string{"source=", "job", "group"} {
		if strings.HasPrefix(word, prefix) {
			return i
		}
	}
	return 3
}

// clean cuts a foreign text, keeps it on its line and lets it say nothing to the terminal.
func clean(text string, width int) string {
	if utf8.RuneCountInString(text) > width {
		text = string([]rune(text)[:width-1]) + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
