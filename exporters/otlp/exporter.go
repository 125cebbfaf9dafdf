package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/trainbridge/trainbridge/collector"
)

// Options are what an exporter works with. What belongs to a signal that is not enabled may be nil.
type Options struct {
	Snapshot   func() *collector.Snapshot // what to push; called from one goroutine at a time
	Outbox     Outbox                     // spans to deliver
	Self       prometheus.Gatherer        // the bridge's own metrics; nil sends none
	Registerer prometheus.Registerer      // for the exporter's own metrics; nil keeps them unseen
	Log        *slog.Logger               // required
	Version    string                     // of the bridge: service.version, scope version and user agent
	JobLabels  []string                   // labels of training_job_info, in either spelling, to put on all series of a job
	Dial       collector.Dial             // how receivers are connected to, by HTTP only; nil: as usual
}

// Exporter sends metrics and spans. Its methods may be called from several goroutines; Run only once.
type Exporter struct {
	metrics    *pusher  // nil if not enabled
	traces     *drainer // nil if not enabled
	meters     *meters
	registerer prometheus.Registerer
}

// shutdownTime bounds what Run still sends after its context ended.
const shutdownTime = 3 * time.Second

// New makes an exporter. It opens no connection and starts nothing. Errors name the setting at fault.
func New(s Settings, o Options) (*Exporter, error) {
	x := &Exporter{meters: newMeters(), registerer: o.Registerer}
	resource := withVersion(s.Resource, o.Version)
	f := newFrame(resource, o.Version)
	if s.Metrics.Enabled {
		p, err := newPusher(s, o, f, resource, newReporter("metrics", x.meters, o.Log))
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		x.metrics = p
	}
	if s.Traces.Enabled {
		c, _, err := newClient(s.Traces, o, tracesMethod)
		if err != nil {
			return nil, fmt.Errorf("traces: %w", err)
		}
		x.traces = newDrainer(o.Outbox, c, f, newReporter("traces", x.meters, o.Log))
	}
	if err := x.meters.register(o.Registerer); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return x, nil
}

// Troubles are the signals with which something is wrong, or was.
func (x *Exporter) Troubles() (all []Trouble) {
	var reports []*reporter
	if x.metrics != nil {
		reports = append(reports, x.metrics.report)
	}
	if x.traces != nil {
		reports = append(reports, x.traces.report)
	}
	for _, r := range reports {
		if t, any := r.troubles(); any {
			all = append(all, t)
		}
	}
	return all
}

func newPusher(s Settings, o Options, f frame, resource []Attribute, r *reporter) (*pusher, error) {
	enc, err := newEncoder(f, o.JobLabels)
	if err != nil {
		return nil, err
	}
	c, sdk, err := newClient(s.Metrics, o, metricsMethod)
	if err != nil {
		return nil, err
	}
	p := &pusher{snapshot: o.Snapshot, interval: s.Interval, to: c, report: r, enc: enc}
	if o.Self != nil {
		p.own = newSelfPusher(o.Self, resource, sdk, r)
		p.own.hide = headersOf(s.Metrics).redact
	}
	return p, nil
}

// newClient makes the client of a signal and, for metrics, the SDK's exporter on the same connection.
func newClient(s Signal, o Options, method string) (client, metric.Exporter, error) {
	agent := "trainbridge/" + o.Version
	withSDK := method == metricsMethod && o.Self != nil
	if s.Protocol == GRPC {
		conn, err := newConn(s, agent)
		if err != nil {
			return nil, nil, err
		}
		c := discreet{&grpcClient{method: method, timeout: s.Timeout, conn: conn}, headersOf(s)}
		if !withSDK {
			return c, nil, nil
		}
		sdk, err := newSelfGRPC(context.Background(), s, conn)
		return c, sdk, err
	}
	h, err := newHTTP(s, agent, o.Dial)
	if err != nil {
		return nil, nil, err
	}
	c := discreet{newHTTPClient(s, h), headersOf(s)}
	if !withSDK {
		return c, nil, nil
	}
	sdk, err := newSelfHTTP(context.Background(), s, h)
	return c, sdk, err
}

// discreet is a client that does not tell the secrets which a receiver quotes.
type discreet struct {
	client
	headers headerSource
}

func (d discreet) send(ctx context.Context, body []byte) answer {
	a := d.client.send(ctx, body)
	a.why = d.headers.redact(a.why)
	return a
}

// withVersion adds service.version where the operator did not set it.
func withVersion(attrs []Attribute, version string) []Attribute {
	all := []Attribute{}
	for _, a := range attrs {
		if a.Key == "service.version" {
			version = ""
		}
		all = append(all, a)
	}
	if version != "" {
		all = append(all, Attribute{"service.version", version})
	}
	return all
}

// Run sends until ctx ends, then for up to three seconds what is left: a last push of metrics and the spans that the
// receiver takes. Spans that it does not take stay in the outbox. It returns nil when it is done; failures to send are
// counted and logged, and never end it. After Run the exporter is closed.
func (x *Exporter) Run(ctx context.Context) error {
	hard, cancel := lasting(ctx, shutdownTime)
	defer cancel()
	var wg sync.WaitGroup
	if x.metrics != nil {
		wg.Go(func() { x.metrics.run(ctx, hard) })
	}
	if x.traces != nil {
		wg.Go(func() { x.traces.run(ctx, hard) })
	}
	wg.Wait()
	<-ctx.Done()
	x.close()
	return nil
}

// lasting is a context that ends some time after ctx does.
func lasting(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if sleep(hard, after) {
			cancel()
		}
	})
	return hard, func() {
		stop()
		cancel()
	}
}

// Flush pushes metrics and sends spans now, until the outbox is empty or the receiver does not take something.
func (x *Exporter) Flush(ctx context.Context) error {
	var errs []error
	if x.metrics != nil {
		errs = append(errs, x.metrics.push(ctx))
	}
	if x.traces != nil {
		errs = append(errs, x.traces.flush(ctx))
	}
	return errors.Join(errs...)
}

// close lets connections go and takes the exporter's metrics out of the registry, so that another can follow.
func (x *Exporter) close() {
	if x.metrics != nil {
		if x.metrics.own != nil {
			x.metrics.own.close(context.Background())
		}
		x.metrics.to.close()
	}
	if x.traces != nil {
		x.traces.to.close()
	}
	x.meters.unregister(x.registerer)
}
