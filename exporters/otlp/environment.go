package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// WithEnvironment joins the file with the OTEL_* variables that getenv gives; see the package comment for what wins. Variables
// that are not needed, because the file says the same, are not looked at. Errors name the field or variable and never show
// a header's value. Sources: the OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable
// Specification".
func (c Config) WithEnvironment(getenv func(string) string) (Settings, error) {
	s := Settings{}
	if strings.EqualFold(strings.TrimSpace(getenv("OTEL_SDK_DISABLED")), "true") {
		s.Warnings = append(s.Warnings, "OTEL_SDK_DISABLED is true: nothing is sent by OTLP")
		return s, nil
	}
	var err error
	if s.Interval, err = c.interval(getenv); err != nil {
		return Settings{}, err
	}
	if s.Resource, err = c.resource(getenv); err != nil {
		return Settings{}, err
	}
	for _, v := range []struct {
		name string
		own  SignalConfig
		to   *Signal
	}{{"metrics", c.Metrics, &s.Metrics}, {"traces", c.Traces, &s.Traces}} {
		r := resolver{getenv: getenv, name: v.name, own: v.own, common: c.Target}
		if *v.to, err = r.signal(); err != nil {
			return Settings{}, err
		}
		s.Warnings = append(s.Warnings, r.warnings...)
	}
	if s.Metrics.Enabled {
		return s, refuseDelta(getenv)
	}
	return s, nil
}

func refuseDelta(getenv func(string) string) error {
	const name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	switch v := strings.ToLower(getenv(name)); v {
	case "", "cumulative":
		return nil
	default:
		return fmt.Errorf("%s=%q: only cumulative is supported, because a delta that is sent again after a lost answer "+
			"counts twice; unset it, and let the receiver convert", name, v)
	}
}

func (c Config) interval(getenv func(string) string) (time.Duration, error) {
	d, from := time.Duration(c.Interval), "interval"
	if v := getenv("OTEL_METRIC_EXPORT_INTERVAL"); d == 0 && v != "" {
		from = "OTEL_METRIC_EXPORT_INTERVAL"
		var err error
		if d, err = milliseconds(v); err != nil {
			return 0, fmt.Errorf("%s: %w", from, err)
		}
	}
	d = cmp.Or(d, defaultInterval)
	if d < time.Second {
		return 0, fmt.Errorf("%s: %v is too short: at least 1s", from, d)
	}
	return d, nil
}

func (c Config) resource(getenv func(string) string) ([]Attribute, error) {
	all := map[string]string{"service.name": "trainbridge"}
	maps.Copy(all, c.Identity)
	fromEnv, err := parsePairs(getenv("OTEL_RESOURCE_ATTRIBUTES"))
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	maps.Copy(all, fromEnv)
	if v := getenv("OTEL_SERVICE_NAME"); v != "" {
		all["service.name"] = v
	}
	maps.Copy(all, c.ResourceAttributes)
	var attrs []Attribute
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if k == "" {
			return nil, errors.New("resource_attributes: a name is empty")
		}
		attrs = append(attrs, Attribute{k, all[k]})
	}
	return attrs, nil
}

// resolver decides the fields of one signal.
type resolver struct {
	getenv   func(string) string
	name     string // metrics or traces
	own      SignalConfig
	common   Target
	warnings []string
}

// found is a setting and where it was: for the signal alone (own) or for both.
type found struct {
	value, from string
	own, file   bool
}

// find returns the first of the four places that says anything.
func (r *resolver) find(field string, get func(*Target) string) found {
	variable := strings.ToUpper(field)
	perSignal, generic := "OTEL_EXPORTER_OTLP_"+strings.ToUpper(r.name)+"_"+variable, "OTEL_EXPORTER_OTLP_"+variable
	for _, f := range []found{
		{get(&r.own.Target), r.name + "." + field, true, true},
		{get(&r.common), field, false, true},
		{strings.TrimSpace(r.getenv(perSignal)), perSignal, true, false},
		{strings.TrimSpace(r.getenv(generic)), generic, false, false},
	} {
		if f.value != "" {
			return f
		}
	}
	return found{}
}

func (r *resolver) env(field string) found { return r.find(field, func(*Target) string { return "" }) }

func (r *resolver) signal() (Signal, error) {
	endpoint := r.find("endpoint", func(t *Target) string { return t.Endpoint })
	if !r.enabled(endpoint) {
		return Signal{}, nil
	}
	s := Signal{Enabled: true}
	f := r.find("protocol", func(t *Target) string { return t.Protocol })
	var err error
	if s.Protocol, err = parseProtocol(f.value); err != nil {
		return Signal{}, fmt.Errorf("%s: %w", f.from, err)
	}
	if s.URL, err = r.url(endpoint, s.Protocol); err != nil {
		return Signal{}, fmt.Errorf("%s: %w", cmp.Or(endpoint.from, r.name), err)
	}
	f = r.find("compression", func(t *Target) string { return t.Compression })
	if s.Gzip, err = parseCompression(f.value); err != nil {
		return Signal{}, fmt.Errorf("%s: %w", f.from, err)
	}
	if s.Timeout, err = r.timeout(); err != nil {
		return Signal{}, err
	}
	if s.Headers, s.HeadersFile, err = r.headers(); err != nil {
		return Signal{}, err
	}
	s.TLS = r.tls()
	if err := s.TLS.Validate(); err != nil {
		return Signal{}, fmt.Errorf("tls of %s: %w", r.name, err)
	}
	return s, nil
}

// enabled follows the switches: the file's, then OTEL_<SIGNAL>_EXPORTER, then whether anyone named an endpoint.
func (r *resolver) enabled(endpoint found) bool {
	if r.own.Enabled != nil {
		return *r.own.Enabled
	}
	variable := "OTEL_" + strings.ToUpper(r.name) + "_EXPORTER"
	list := strings.ToLower(strings.TrimSpace(r.getenv(variable)))
	if list == "" {
		return endpoint.value != ""
	}
	for e := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(e) == "otlp" {
			return true
		}
	}
	if list == "none" {
		return false
	}
	r.warnings = append(r.warnings, fmt.Sprintf("%s=%q is ignored: only otlp and none are known", variable, list))
	return endpoint.value != ""
}

func (r *resolver) url(f found, p Protocol) (*url.URL, error) {
	if f.value == "" {
		f.value = defaultHTTP
		if p == GRPC {
			f.value = defaultGRPC
		}
	}
	if p == GRPC && !f.file && !strings.Contains(f.value, "://") {
		return r.bareTarget(f.value)
	}
	u, err := parseEndpoint(f.value)
	if err != nil || p == GRPC {
		return u, err
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if !f.own {
		u = u.JoinPath("v1", r.name)
	}
	return u, nil
}

// bareTarget is a gRPC endpoint without a scheme; OTEL_EXPORTER_OTLP_INSECURE decides about TLS, which is on by default.
func (r *resolver) bareTarget(host string) (*url.URL, error) {
	insecure := r.env("insecure")
	switch strings.ToLower(insecure.value) {
	case "true":
		return parseEndpoint("http://" + host)
	case "", "false":
		return parseEndpoint("https://" + host)
	}
	return nil, fmt.Errorf("%s must be true or false", insecure.from)
}

func (r *resolver) timeout() (time.Duration, error) {
	for _, f := range []struct {
		field string
		value model.Duration
	}{{r.name + ".timeout", r.own.Timeout}, {"timeout", r.common.Timeout}} {
		if f.value != 0 {
			return time.Duration(f.value), nil
		}
	}
	f := r.env("timeout")
	if f.value == "" {
		return defaultTimeout, nil
	}
	d, err := milliseconds(f.value)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", f.from, err)
	}
	return d, nil
}

func milliseconds(s string) (time.Duration, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a number of milliseconds", s)
	}
	return time.Duration(n) * time.Millisecond, nil
}

func (r *resolver) headers() (map[string]config.Secret, string, error) {
	file := r.find("headers_file", func(t *Target) string { return t.HeadersFile })
	if !file.file {
		file = found{} // there is no such variable
	}
	for _, t := range []struct {
		name string
		of   Target
	}{{r.name + ".headers", r.own.Target}, {"headers", r.common}} {
		if len(t.of.Headers) == 0 {
			continue
		}
		if err := checkHeaders(t.of.Headers); err != nil {
			return nil, "", fmt.Errorf("%s: %w", t.name, err)
		}
		return t.of.Headers, file.value, nil
	}
	f := r.env("headers")
	pairs, err := parsePairs(f.value)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", f.from, err)
	}
	headers := map[string]config.Secret{}
	for k, v := range pairs {
		headers[k] = config.Secret(v)
	}
	if err := checkHeaders(headers); err != nil {
		return nil, "", fmt.Errorf("%s: %w", f.from, err)
	}
	return headers, file.value, nil
}

func (r *resolver) tls() config.TLSConfig {
	for _, t := range []*config.TLSConfig{r.own.TLS, r.common.TLS} {
		if t != nil {
			return *t
		}
	}
	return config.TLSConfig{
		CAFile:   r.env("certificate").value,
		CertFile: r.env("client_certificate").value,
		KeyFile:  r.env("client_key").value,
	}
}
