package otlp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// describe is a signal in one line, with its secrets.
func describe(s Signal) string {
	if !s.Enabled {
		return "off"
	}
	var headers []string
	for _, k := range slices.Sorted(maps.Keys(s.Headers)) {
		headers = append(headers, k+"="+string(s.Headers[k]))
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s gzip=%v %v %s", s.Protocol, s.URL, s.Gzip, s.Timeout, strings.Join(headers, ",")))
}

func decode(t *testing.T, text string) (c Config) {
	t.Helper()
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && text != "" {
		t.Fatal(err)
	}
	return c
}

// vars reads "NAME=value" lines; the prefix OTEL_ may be left out.
func vars(lines ...string) func(string) string {
	return func(name string) string {
		for _, l := range lines {
			if k, v, _ := strings.Cut(l, "="); k == name || "OTEL_"+k == name || "OTEL_EXPORTER_OTLP_"+k == name {
				return v
			}
		}
		return ""
	}
}

func TestEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name            string
		yaml            string
		env             []string
		metrics, traces string
	}{
		{"nothing", "", nil, "off", "off"},
		{"file", "endpoint: http://h:4318", nil,
			"http/protobuf http://h:4318/v1/metrics gzip=true 10s", "http/protobuf http://h:4318/v1/traces gzip=true 10s"},
		{"path prefix", "endpoint: https://h/otlp/", nil,
			"http/protobuf https://h/otlp/v1/metrics gzip=true 10s", "http/protobuf https://h/otlp/v1/traces gzip=true 10s"},
		{"environment", "", []string{"ENDPOINT=http://h:4318"},
			"http/protobuf http://h:4318/v1/metrics gzip=true 10s", "http/protobuf http://h:4318/v1/traces gzip=true 10s"},
		{"endpoint of a signal as it stands", "", []string{"METRICS_ENDPOINT=http://m:9090/api/v1/otlp/v1/metrics", "TRACES_ENDPOINT=http://t"},
			"http/protobuf http://m:9090/api/v1/otlp/v1/metrics gzip=true 10s", "http/protobuf http://t/ gzip=true 10s"},
		{"file beats environment", "endpoint: http://file:1\ntraces: {endpoint: 'http://t:2/x'}\ncompression: none",
			[]string{"ENDPOINT=http://env:1", "METRICS_ENDPOINT=http://env:2", "TRACES_ENDPOINT=http://env:3", "COMPRESSION=gzip", "METRICS_TIMEOUT=1500", "TIMEOUT=7"},
			"http/protobuf http://file:1/v1/metrics gzip=false 1.5s", "http/protobuf http://t:2/x gzip=false 7ms"},
		{"headers", "endpoint: http://h", []string{"HEADERS=api-key=a%20b%3D, X-Two=2", "TRACES_HEADERS=only=this"},
			"http/protobuf http://h/v1/metrics gzip=true 10s X-Two=2,api-key=a b=", "http/protobuf http://h/v1/traces gzip=true 10s only=this"},
		{"headers of the file", "endpoint: http://h\nheaders: {a: '1'}\ntraces: {headers: {b: '2'}}", []string{"HEADERS=c=3"},
			"http/protobuf http://h/v1/metrics gzip=true 10s a=1", "http/protobuf http://h/v1/traces gzip=true 10s b=2"},
		{"grpc", "protocol: grpc", []string{"ENDPOINT=https://h:4317/ignored"}, "grpc https://h:4317/ignored gzip=true 10s", "grpc https://h:4317/ignored gzip=true 10s"},
		{"grpc without scheme", "", []string{"PROTOCOL=grpc", "ENDPOINT=h:4317", "TRACES_INSECURE=true"},
			"grpc https://h:4317 gzip=true 10s", "grpc http://h:4317 gzip=true 10s"},
		{"protocols differ", "", []string{"TRACES_PROTOCOL=grpc", "ENDPOINT=http://h:1"}, "http/protobuf http://h:1/v1/metrics gzip=true 10s", "grpc http://h:1 gzip=true 10s"},
		{"exporter none", "endpoint: http://h", []string{"METRICS_EXPORTER=none", "TRACES_EXPORTER=otlp"}, "off", "http/protobuf http://h/v1/traces gzip=true 10s"},
		{"exporter none, file insists", "endpoint: http://h\nmetrics: {enabled: true}", []string{"METRICS_EXPORTER=none", "TRACES_EXPORTER=none"},
			"http/protobuf http://h/v1/metrics gzip=true 10s", "off"},
		{"exporter otlp alone", "", []string{"METRICS_EXPORTER=otlp", "TRACES_EXPORTER=console,otlp", "TRACES_PROTOCOL=grpc"},
			"http/protobuf http://localhost:4318/v1/metrics gzip=true 10s", "grpc http://localhost:4317 gzip=true 10s"},
		{"enabled: false", "endpoint: http://h\ntraces: {enabled: false}", nil, "http/protobuf http://h/v1/metrics gzip=true 10s", "off"},
		{"SDK disabled", "endpoint: http://h", []string{"SDK_DISABLED=TRUE"}, "off", "off"},
		{"unused nonsense is not looked at", "endpoint: http://h\nprotocol: grpc\ntimeout: 3s", []string{"PROTOCOL=carrier-pigeon", "TIMEOUT=soon"},
			"grpc http://h gzip=true 3s", "grpc http://h gzip=true 3s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := decode(t, tt.yaml).WithEnvironment(vars(tt.env...))
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(s.Metrics); got != tt.metrics {
				t.Errorf("metrics:\n got %s\nwant %s", got, tt.metrics)
			}
			if got := describe(s.Traces); got != tt.traces {
				t.Errorf("traces:\n got %s\nwant %s", got, tt.traces)
			}
			if s.Enabled() != (tt.metrics != "off" || tt.traces != "off") {
				t.Error("Enabled is wrong")
			}
		})
	}
}

func TestEnvironmentErrors(t *testing.T) {
	const canary = "hunter2"
	for _, tt := range []struct {
		yaml string
		env  []string
		want string
	}{
		{"endpoint: h:4318", nil, "endpoint: must begin with http:// or https://"},
		{"metrics: {endpoint: 'ftp://h'}", nil, "metrics.endpoint: must begin"},
		{"endpoint: http://u:hunter2@h", nil, "endpoint: holds a user or password"},
		{"endpoint: 'http://hunter2:%zz'", nil, "endpoint: not a URL"},
		{"", []string{"TRACES_ENDPOINT=http://"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: names no host"},
		{"endpoint: http://h\nprotocol: http/json", nil, `protocol: protocol "http/json" is not supported`},
		{"endpoint: http://h", []string{"METRICS_PROTOCOL=http/json"}, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL:"},
		{"endpoint: http://h\ntraces: {compression: zstd}", nil, `traces.compression: compression "zstd"`},
		{"endpoint: http://h", []string{"TIMEOUT=10s"}, `OTEL_EXPORTER_OTLP_TIMEOUT: "10s" is not a number of milliseconds`},
		{"endpoint: http://h", []string{"METRIC_EXPORT_INTERVAL=1"}, "OTEL_METRIC_EXPORT_INTERVAL: 1ms is too short"},
		{"endpoint: http://h", []string{"HEADERS=authorization hunter2"}, "OTEL_EXPORTER_OTLP_HEADERS: entry 1 is not name=value"},
		{"endpoint: http://h", []string{"HEADERS=a=1,authorization=hunter2%zz"}, "entry 2 is not URL-encoded"},
		{"endpoint: http://h", []string{"HEADERS=authorization=hunter2%0a"}, "authorization: the value holds characters"},
		{"endpoint: http://h\nheaders: {'bad name': hunter2}", nil, "headers: a name is not the name of a header"},
		{"endpoint: http://h\ntraces: {headers: {Content-Type: hunter2}}", nil, "traces.headers: Content-Type: set by the protocol"},
		{"endpoint: http://h", []string{"RESOURCE_ATTRIBUTES=x"}, "OTEL_RESOURCE_ATTRIBUTES: entry 1"},
		{"endpoint: http://h", []string{"METRICS_TEMPORALITY_PREFERENCE=Delta"}, "only cumulative is supported"},
		{"endpoint: http://h", []string{"METRICS_TEMPORALITY_PREFERENCE=lowmemory"}, "only cumulative is supported"},
		{"", []string{"PROTOCOL=grpc", "ENDPOINT=h:1", "INSECURE=perhaps"}, "OTEL_EXPORTER_OTLP_INSECURE must be true or false"},
		{"endpoint: http://h", []string{"CLIENT_CERTIFICATE=/c.pem"}, "tls of metrics"},
	} {
		_, err := decode(t, tt.yaml).WithEnvironment(vars(tt.env...))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%q %q:\n got %v\nwant %s", tt.yaml, tt.env, err, tt.want)
		}
	}
}

func TestEnvironmentRest(t *testing.T) {
	s, err := decode(t, "endpoint: http://h\nresource_attributes: {team: file}\n").WithEnvironment(vars(
		"RESOURCE_ATTRIBUTES=service.name=other,team=env,k=a%2Cb", "SERVICE_NAME=mine", "METRIC_EXPORT_INTERVAL=5000",
		"CERTIFICATE=/ca.pem", "TRACES_CLIENT_CERTIFICATE=/c.pem", "TRACES_CLIENT_KEY=/k.pem", "METRICS_EXPORTER=prometheus"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Resource); got != "[{k a,b} {service.name mine} {team file}]" {
		t.Error(got)
	}
	if s.Interval != 5*time.Second || s.Metrics.TLS.CAFile != "/ca.pem" || s.Traces.TLS.KeyFile != "/k.pem" || s.Metrics.TLS.KeyFile != "" {
		t.Errorf("%+v", s)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "OTEL_METRICS_EXPORTER") {
		t.Errorf("warnings %q", s.Warnings)
	}
	c := decode(t, "headers_file: h\ntls: {ca_file: ca.pem}\ntraces: {tls: {ca_file: /abs.pem}}\n")
	c.SetDirectory("/etc/tb")
	if c.HeadersFile != "/etc/tb/h" || c.TLS.CAFile != "/etc/tb/ca.pem" || c.Traces.TLS.CAFile != "/abs.pem" {
		t.Errorf("%+v", c)
	}
}

// TestConfigHidesSecrets: a configuration that is shown or logged shows no header.
func TestConfigHidesSecrets(t *testing.T) {
	c := decode(t, "endpoint: http://h\nheaders: {authorization: hunter2}\ntraces: {headers: {x: hunter2}}")
	b, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "hunter2") || !strings.Contains(string(b), "<secret>") {
		t.Error(string(b))
	}
}

func FuzzParsePairs(f *testing.F) {
	f.Add("a=1,b=%20,,c")
	f.Add("%zz=%zz")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := parsePairs(s); err != nil && len(s) > 12 && strings.Contains(err.Error(), s) {
			t.Errorf("the error repeats the text: %v", err)
		}
	})
}

// TestIdentityGivesWay: what the program says of itself is no match for what an operator says.
func TestIdentityGivesWay(t *testing.T) {
	for env, want := range map[string]string{"": "node-7", "service.instance.id=mine": "mine"} {
		c := Config{Identity: map[string]string{"service.instance.id": "node-7"}}
		attrs, err := c.resource(func(name string) string {
			if name == "OTEL_RESOURCE_ATTRIBUTES" {
				return env
			}
			return ""
		})
		if err != nil || !slices.Contains(attrs, Attribute{"service.instance.id", want}) || !slices.Contains(attrs, Attribute{"service.name", "trainbridge"}) {
			t.Errorf("%q: %v %v", env, attrs, err)
		}
	}
}
