package otlp

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// Config is the otlp section of the configuration file. The zero value sends nothing, unless the environment says so.
type Config struct {
	Target `yaml:",inline"`

	// Interval is the time between two pushes of metrics. Default 60s, or OTEL_METRIC_EXPORT_INTERVAL.
	Interval model.Duration `yaml:"interval,omitempty"`
	// ResourceAttributes are added to those of OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME and win over them.
	// service.name is trainbridge if nobody sets it.
	ResourceAttributes map[string]string `yaml:"resource_attributes,omitempty"`
	// Identity is what the resource has besides, unless anybody says otherwise.
	Identity map[string]string `yaml:"-"`

	// Metrics and Traces differ from the above for one signal.
	Metrics SignalConfig `yaml:"metrics,omitempty"`
	Traces  SignalConfig `yaml:"traces,omitempty"`
}

// SignalConfig says what is different for one signal.
type SignalConfig struct {
	// Enabled turns the signal on (to the default endpoint on this host if none is named) or off. Default: on if an
	// endpoint is named.
	Enabled *bool `yaml:"enabled,omitempty"`

	Target `yaml:",inline"`
}

// Target is where and how to send.
type Target struct {
	// Endpoint is a URL with http:// or https://. The paths v1/metrics and v1/traces are added to the one for both signals
	// with http/protobuf; one for a single signal is used as it stands.
	Endpoint string `yaml:"endpoint,omitempty"`
	// Protocol is http/protobuf (default) or grpc.
	Protocol string `yaml:"protocol,omitempty"`
	// Headers are sent with every request. The values are secret.
	Headers map[string]config.Secret `yaml:"headers,omitempty"`
	// HeadersFile holds more headers, a "Name: value" on each line. It is read anew for every request.
	HeadersFile string `yaml:"headers_file,omitempty"`
	// Compression is gzip (default) or none.
	Compression string `yaml:"compression,omitempty"`
	// Timeout bounds one request. Default 10s.
	Timeout model.Duration `yaml:"timeout,omitempty"`
	// TLS says whom to trust and what certificate to show.
	TLS *config.TLSConfig `yaml:"tls,omitempty"`
}

// SetDirectory makes the relative file names of c relative to the folder of the configuration file.
func (c *Config) SetDirectory(dir string) {
	for _, t := range []*Target{&c.Target, &c.Metrics.Target, &c.Traces.Target} {
		t.HeadersFile = config.JoinDir(dir, t.HeadersFile)
		t.TLS.SetDirectory(dir)
	}
}

// Protocol is how requests travel.
type Protocol string

// The protocols.
const (
	HTTP Protocol = "http/protobuf"
	GRPC Protocol = "grpc"
)

// Settings are a configuration with everything decided. [Config.WithEnvironment] makes them.
type Settings struct {
	Metrics  Signal
	Traces   Signal
	Interval time.Duration
	Resource []Attribute // sorted by key; has service.name
	Warnings []string    // what was ignored; for the log
}

// Enabled reports whether anything is sent.
func (s Settings) Enabled() bool { return s.Metrics.Enabled || s.Traces.Enabled }

// Attribute is an attribute of the resource.
type Attribute struct{ Key, Value string }

// Signal is where and how one signal is sent.
type Signal struct {
	Enabled     bool
	Protocol    Protocol
	URL         *url.URL // of the request; for gRPC only scheme and host matter
	Headers     map[string]config.Secret
	HeadersFile string
	Gzip        bool
	Timeout     time.Duration
	TLS         config.TLSConfig
}

// defaults of the OpenTelemetry specification.
const (
	defaultInterval = 60 * time.Second
	defaultTimeout  = 10 * time.Second
	defaultHTTP     = "http://localhost:4318"
	defaultGRPC     = "http://localhost:4317"
)

func parseProtocol(s string) (Protocol, error) {
	switch s {
	case "", string(HTTP):
		return HTTP, nil
	case string(GRPC):
		return GRPC, nil
	}
	return "", fmt.Errorf("protocol %q is not supported: use http/protobuf or grpc", s)
}

func parseCompression(s string) (gzip bool, err error) {
	switch s {
	case "", "gzip":
		return true, nil
	case "none":
		return false, nil
	}
	return false, fmt.Errorf("compression %q is not supported: use gzip or none", s)
}

// parseEndpoint never repeats the text: a URL may hold a password.
func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case u.Host == "":
		return nil, errors.New("names no host")
	case u.User != nil:
		return nil, errors.New("holds a user or password: put credentials into headers")
	}
	u.Fragment = ""
	return u, nil
}
