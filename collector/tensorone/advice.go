package tensorone

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// plannedShare of the budget is what the scheduler plans polls and listings with; the rest is for retries.
const plannedShare = 0.95

// Advice says what will keep the source from being of use as things stand now, without asking anyone: no key, a key file that is
// missing or empty, job files that cannot be read, no way to find jobs, more jobs than the budget has reads for. None of it is a mistake
// for sure. Each line begins with the name of a field.
func (s *Source) Advice() []string {
	var out []string
	h := &s.config.HTTP
	if a := h.HTTP.Authorization; a != nil && a.CredentialsFile != "" {
		if err := checkSecret(a.CredentialsFile); err != nil {
			out = append(out, fmt.Sprintf("authorization.credentials_file: %v", err))
		}
	}
	if h.CredentialsEnv == "" && h.HTTP.Authorization == nil && h.HTTP.BasicAuth == nil && h.HTTP.OAuth2 == nil && h.HTTP.HTTPHeaders == nil {
		out = append(out, "authorization: no key is set: set authorization.credentials_file or credentials_env")
	}
	look := files{patterns: s.files.patterns, log: slog.New(slog.DiscardHandler)}
	inFiles, err := look.refresh()
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			out = append(out, "job_files: "+line)
		}
	}
	if len(s.static) == 0 && len(s.files.patterns) == 0 && s.config.List == listOff {
		out = append(out, "jobs: none are named here or in job_files, and list is off: nothing is watched until jobs are registered")
	}
	jobs := map[string]bool{}
	for _, t := range append(inFiles, s.static...) {
		jobs[t.id] = true
	}
	if line := s.config.demand(len(jobs)); line != "" {
		out = append(out, line)
	}
	if s.config.ReadsPerHour > defaultReads && s.base.Host == defaultHost {
		out = append(out, fmt.Sprintf("reads_per_hour: %d is above the %d an hour that are documented for GET /training/*",
			s.config.ReadsPerHour, defaultReads))
	}
	return out
}

// demand says that so many running jobs do not fit the budget, with the arithmetic; it is empty if they do.
func (c *Config) demand(jobs int) string {
	each := hour / time.Duration(c.PollIntervals.Running).Seconds()
	reads := "1 read"
	if c.Checkpoints == endpoint {
		each, reads = each*2, "2 reads"
	}
	listings := 0.0
	if c.List != listOff {
		listings = hour / time.Duration(c.ListInterval).Seconds()
	}
	planned := plannedShare * (c.HTTP.RateLimit * hour)
	wanted := float64(jobs) * each
	if jobs == 0 || wanted+listings <= planned {
		return ""
	}
	line := fmt.Sprintf("reads_per_hour: %d jobs asked every %v at %s each are %.0f reads an hour while they run, and listings %.0f: "+
		"%.0f, of %.0f that can be planned with out of %d;", jobs, c.PollIntervals.Running, reads, wanted, listings, wanted+listings, planned, c.ReadsPerHour)
	if left := planned - listings; left > 0 {
		stretched := time.Duration(wanted / left * float64(time.Duration(c.PollIntervals.Running)))
		line += fmt.Sprintf(" each is asked about every %v instead;", stretched.Round(time.Second))
	}
	return line + " lengthen poll_intervals.running, or raise reads_per_hour if the plan allows more"
}

// checkSecret reports why a file cannot serve as a secret, without saying what is in it.
func checkSecret(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(head)) == "" {
		return fmt.Errorf("%s is empty", path)
	}
	return nil
}
