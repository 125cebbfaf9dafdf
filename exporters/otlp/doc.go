// Package otlp sends what the bridge knows to an OpenTelemetry receiver: metrics from the snapshot, spans from the outbox.
//
// # Configuration
//
// [Config] is the otlp section of the configuration file. Everything can also be said by the environment variables of the
// OpenTelemetry specification; [Config.WithEnvironment] joins the two. The file beats the environment, and in each of
// them what is said for one signal beats what is said for both:
//
//	metrics.endpoint > endpoint > OTEL_EXPORTER_OTLP_METRICS_ENDPOINT > OTEL_EXPORTER_OTLP_ENDPOINT
//
// and so on for every other field. A map of headers and a tls section count as a whole; they are not merged. Two
// switches work the other way around, because they exist to turn things off: OTEL_SDK_DISABLED=true always does, and
// OTEL_METRICS_EXPORTER=none or OTEL_TRACES_EXPORTER=none does unless the file says enabled: true for the signal. Nothing is
// sent where no endpoint is named and nothing is enabled.
//
// # Metrics
//
// The rows of the schema are written straight into protobuf, in requests of at most 5,000 points and 4 MiB, so that memory
// is bounded by one request and not by the number of jobs. All sums and histograms are cumulative: a push that failed needs no
// queue, the next one says everything again. Delta temporality is refused, since a delta that is sent twice counts twice.
// The bridge's own metrics (a registry of client_golang) go through the OpenTelemetry SDK, which keeps these promises for
// a few hundred series.
//
// # Spans
//
// [EncodeSpan] makes the bytes of a span once. They wait in an [Outbox] until the receiver has accepted them, and every
// attempt sends the same bytes. What happens on each answer:
//
//	accepted                              removed
//	accepted in part                      removed; what the receiver refused is counted, never sent again
//	no connection, timeout, 408, 429,     kept; tried again after a random wait of up to a minute, or what Retry-After
//	502, 503, 504 and their gRPC kin      and RetryInfo ask for, up to five minutes
//	400, 422, INVALID_ARGUMENT            the batch is halved until the span at fault is alone; that one is counted and removed
//	413 and "larger than max"             halved as well
//	500, INTERNAL, UNKNOWN                kept; after five in a row halved as above
//	everything else: 401, 403, 404, 3xx   kept: this is about the endpoint and not about the spans, and an operator will mend it
//
// A span is given up only when the same receiver accepted something else in the same round, if need be an empty request:
// an endpoint that refuses everything costs no spans.
//
// Redirects are not followed, answers are read up to 64 KiB, and their text is shortened and cleaned before it is logged.
package otlp
