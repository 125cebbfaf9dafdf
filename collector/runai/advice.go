package runai

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// Advice says what will keep the source from being of use as things stand now, without asking anyone. None of it is a mistake for
// sure: files may be mounted later. Each line begins with the name of a field.
func (s *Source) Advice() []string {
	var out []string
	if s.tokens != nil {
		if _, err := s.tokens.account.secret(); err != nil {
			out = append(out, err.Error())
		}
	} else if !hasCredential(&s.config.HTTP) {
		out = append(out, "token: no credential is set: set token.client_id and token.client_secret_file, or authorization "+
			"for a ready token")
	}
	if a := s.config.HTTP.HTTP.Authorization; a != nil && a.CredentialsFile != "" {
		if err := checkSecret(a.CredentialsFile); err != nil {
			out = append(out, fmt.Sprintf("authorization.credentials_file: %v", err))
		}
	}
	if !*s.config.Events && !*s.config.History {
		out = append(out, "events: neither events nor history are read: phases are known from listings alone, and why a workload "+
			"failed from its message")
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
	head, err := io.ReadAll(io.LimitReader(f, maxSecretBytes))
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(head)) == "" {
		return fmt.Errorf("%s is empty", path)
	}
	return nil
}
