package wandb

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Advice says what will keep the source from being of use as things stand now, without asking anyone: a key file that is
// missing or empty, job files that cannot be read, no jobs at all. None of it is a mistake for sure: files may be
// mounted later. Each line begins with the name of a field.
func (s *Source) Advice() []string {
	var out []string
	if path := s.keyFile; path != "" {
		if err := checkSecret(path); err != nil {
			out = append(out, fmt.Sprintf("authorization.credentials_file: %v", err))
		}
	}
	look := files{patterns: s.files.patterns, log: slog.New(slog.DiscardHandler)}
	if _, err := look.refresh(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			out = append(out, "job_files: "+line)
		}
	}
	if len(s.static) == 0 && len(s.files.patterns) == 0 && len(s.urls) == 0 && !s.proxied {
		out = append(out, "jobs: none are named here, in job_files or in job_urls: nothing is watched until jobs are registered")
	}
	return out
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
