package prom

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
)

// Format is an exposition format.
type Format uint8

// The formats.
const (
	Text        Format = iota // Prometheus text 0.0.4
	OpenMetrics               // OpenMetrics text 1.0.0
	Protobuf                  // delimited io.prometheus.client.MetricFamily

	formatCount = int(Protobuf) + 1
)

// expfmt is the format's name in prometheus/common.
func (f Format) expfmt() expfmt.Format {
	switch f {
	case OpenMetrics:
		return expfmt.NewFormat(expfmt.TypeOpenMetrics)
	case Protobuf:
		return expfmt.NewFormat(expfmt.TypeProtoDelim)
	default:
		return expfmt.NewFormat(expfmt.TypeTextPlain)
	}
}

// ContentType is the value of the Content-Type header of a file or answer in the format.
func (f Format) ContentType() string { return string(f.expfmt()) }

// negotiate picks the format for an Accept header and the Content-Type to answer with. Prometheus 3 asks for an
// escaping of names, which the answer repeats; all names here are valid in each of them. Formats that are not made here,
// such as OpenMetrics 0.0.1, are passed over, and whoever accepts none of ours gets text.
func negotiate(h http.Header) (f Format, contentType string) {
	chosen := expfmt.NegotiateAccept(h, OpenMetrics.expfmt(), Protobuf.expfmt(), Text.expfmt())
	switch chosen.FormatType() {
	case expfmt.TypeOpenMetrics:
		f = OpenMetrics
	case expfmt.TypeProtoDelim:
		f = Protobuf
	}
	return f, string(chosen)
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip (RFC 9110, 12.5.3).
func acceptsGzip(h http.Header) bool {
	star := false
	for _, field := range h.Values("Accept-Encoding") {
		for item := range strings.SplitSeq(field, ",") {
			coding, params, _ := strings.Cut(item, ";")
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip", "x-gzip":
				return quality(params) > 0
			case "*":
				star = quality(params) > 0
			}
		}
	}
	return star
}

// quality is the weight of an item of an Accept header; one that cannot be read is a refusal.
func quality(params string) float64 {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1
	}
	name, value, _ := strings.Cut(params, "=")
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 0
	}
	return q
}
