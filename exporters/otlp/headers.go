package otlp

import (
	"bufio"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/prometheus/common/config"
	"golang.org/x/net/http/httpguts"

	"github.com/trainbridge/trainbridge/collector"
)

// parsePairs reads "name=value,name=value" with URL-encoded values, the form of OTEL_EXPORTER_OTLP_HEADERS and
// OTEL_RESOURCE_ATTRIBUTES (W3C Baggage without properties). Errors tell the place and not the text.
func parsePairs(s string) (map[string]string, error) {
	pairs := map[string]string{}
	at := 0
	for pair := range strings.SplitSeq(s, ",") {
		at++
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("entry %d is not name=value", at)
		}
		name, nameErr := url.PathUnescape(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if nameErr != nil || err != nil {
			return nil, fmt.Errorf("entry %d is not URL-encoded: write %%25 for a percent sign", at)
		}
		pairs[name] = value
	}
	return pairs, nil
}

// checkHeaders refuses what cannot be sent, or is not the operator's to set. Errors name the header and hide the value.
func checkHeaders(headers map[string]config.Secret) error {
	for name, value := range headers {
		lower := strings.ToLower(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return errors.New("a name is not the name of a header")
		case !httpguts.ValidHeaderFieldValue(string(value)):
			return fmt.Errorf("%s: the value holds characters that a header cannot hold", name)
		case lower == "host", lower == "content-length", lower == "content-type", lower == "content-encoding",
			lower == "transfer-encoding", lower == "connection", lower == "te", strings.HasPrefix(lower, "grpc-"):
			return fmt.Errorf("%s: set by the protocol", name)
		}
	}
	return nil
}

// headerSource gives the headers of a request. The file is read each time: it is small, requests are few, and a rotated
// credential works at once.
type headerSource struct {
	fixed map[string]config.Secret
	file  string
}

func headersOf(s Signal) headerSource { return headerSource{s.Headers, s.HeadersFile} }

// add calls set for every header. Headers of the file win.
func (h headerSource) add(set func(name, value string)) error {
	for name, value := range h.fixed {
		set(name, string(value))
	}
	if h.file == "" {
		return nil
	}
	more, err := readHeaders(h.file)
	if err != nil {
		return fmt.Errorf("headers_file: %w", err)
	}
	for name, value := range more {
		set(name, string(value))
	}
	return nil
}

// redact takes the values of the headers out of what a receiver says: many quote the credential that they refuse.
func (h headerSource) redact(text string) string {
	if text == "" {
		return ""
	}
	var secrets []string
	_ = h.add(func(_, value string) { secrets = append(secrets, collector.SecretsOf(value)...) }) // with a file that cannot be read nothing was sent
	return collector.Redact(text, secrets)
}

func readHeaders(file string) (map[string]config.Secret, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	headers := map[string]config.Secret{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%s line %d is not \"Name: value\"", file, n)
		}
		headers[http.CanonicalHeaderKey(strings.TrimSpace(name))] = config.Secret(strings.TrimSpace(value))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := checkHeaders(headers); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return headers, nil
}
