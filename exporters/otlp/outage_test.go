package otlp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// transport lets a test answer requests without a network, in virtual time.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(code int, header http.Header) *http.Response {
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(""))}
}

// virtual is a drainer that talks to f.
func virtual(t *testing.T, box Outbox, f func(body []byte, r *http.Request) (*http.Response, error)) (*drainer, *meters) {
	s := settings(t, Config{Target: Target{Endpoint: "http://receiver"}}, nil).Traces
	h := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		body := readBody(t, r)
		_ = r.Body.Close()
		return f(body, r)
	})}
	m := newMeters()
	return newDrainer(box, newHTTPClient(s, h), newFrame(testResource, "1"), newReporter("traces", m, quiet())), m
}

// TestHourOfTrouble: for a virtual hour the receiver fails in one way while spans keep coming. Afterwards every span is
// there once, and it arrived within ten minutes.
func TestHourOfTrouble(t *testing.T) {
	after := func(v string) http.Header { return http.Header{"Retry-After": {v}} }
	for name, fail := range map[string]func(*http.Request) (*http.Response, error){
		"refuse": func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"hang": func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		},
		"503":             func(*http.Request) (*http.Response, error) { return reply(503, nil), nil },
		"503, wait 2m":    func(*http.Request) (*http.Response, error) { return reply(503, after("120")), nil },
		"429, wait years": func(*http.Request) (*http.Response, error) { return reply(429, after("999999999")), nil },
		"401":             func(*http.Request) (*http.Response, error) { return reply(401, nil), nil },
		"500":             func(*http.Request) (*http.Response, error) { return reply(500, nil), nil },
		"400":             func(*http.Request) (*http.Response, error) { return reply(400, nil), nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box, began := newBox(), time.Now()
				got, tries := map[string]int{}, 0
				d, m := virtual(t, box, func(body []byte, r *http.Request) (*http.Response, error) {
					if time.Since(began) < time.Hour {
						tries++
						return fail(r)
					}
					for _, s := range decodeSpans(t, body) {
						got[s.Name]++
					}
					return reply(200, nil), nil
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); d.run(ctx, t.Context()) }()
				for i := range 3_600 {
					box.add(testSpan(i))
					time.Sleep(time.Second)
				}
				time.Sleep(10 * time.Minute)
				left := box.len()
				cancel()
				<-done
				if left != 0 || len(got) != 3_600 {
					t.Errorf("%d left, %d arrived", left, len(got))
				}
				for s, n := range got {
					if n != 1 {
						t.Errorf("%s arrived %d times", s, n)
					}
				}
				if tries < 10 || tries > 800 {
					t.Errorf("%d requests in the hour", tries)
				}
				if n := testutil.ToFloat64(m.items.WithLabelValues("traces", resultSuccess)); n != 3_600 {
					t.Errorf("counted %v", n)
				}
			})
		})
	}
}

func decodeSpans(t *testing.T, body []byte) (spans []*tracepb.Span) {
	t.Helper()
	var m coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	for _, rs := range m.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			spans = append(spans, ss.Spans...)
		}
	}
	return spans
}

// TestLostAnswers: of 10,000 exports 1,000 are delivered but their answer is lost. Each span arrives at least once, and
// every copy has the same bytes.
func TestLostAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, random := newBox(), rand.New(rand.NewPCG(1, 2))
		copies, lost := map[uint64][]byte{}, 0
		var requests atomic.Int64
		d, _ := virtual(t, box, func(body []byte, _ *http.Request) (*http.Response, error) {
			requests.Add(1)
			for _, s := range decodeSpans(t, body) {
				raw, id := mustMarshal(t, s), idOf(s)
				if old, ok := copies[id]; ok && !bytes.Equal(old, raw) {
					t.Errorf("%s came again with other bytes", s.Name)
				}
				copies[id] = raw
			}
			if random.IntN(10) == 0 {
				lost++
				return nil, errors.New("connection reset by peer")
			}
			return reply(200, nil), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); d.run(ctx, t.Context()) }()
		n := 0
		for ; requests.Load() < 10_000; n++ {
			box.add(testSpan(n))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		cancel()
		<-done
		if box.len() != 0 || len(copies) != n || lost < 500 {
			t.Errorf("%d left, %d of %d arrived, %d answers lost", box.len(), len(copies), n, lost)
		}
	})
}

func mustMarshal(t *testing.T, m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func idOf(s *tracepb.Span) (id uint64) {
	for _, b := range s.SpanId {
		id = id<<8 | uint64(b)
	}
	return id
}

// TestRetryAfter is obeyed to the second, and so are dates.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-3": 0, "99999999999999999999": 0, "86400": maxWait, "1.5": 0, "soon": 0,
		"Thu, 01 Jan 2026 00:00:30 GMT": 30 * time.Second,
		"Thu, 01 Jan 2025 00:00:30 GMT": 0,
		"Thu, 01 Jan 2099 00:00:30 GMT": maxWait,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		box := newBox()
		box.add(testSpan(1))
		var at []time.Time
		d, _ := virtual(t, box, func([]byte, *http.Request) (*http.Response, error) {
			at = append(at, time.Now())
			return reply(503, http.Header{"Retry-After": {"30"}}), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		d.run(ctx, ctx)
		for i := 1; i < len(at); i++ {
			if at[i].Sub(at[i-1]) < 30*time.Second {
				t.Errorf("came again after %v", at[i].Sub(at[i-1]))
			}
		}
		if len(at) < 3 {
			t.Errorf("%d requests", len(at))
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Thu, 01 Jan 2026 00:00:30 GMT")
	f.Add("-9223372036854775808")
	f.Fuzz(func(t *testing.T, s string) {
		if d := retryAfter(s, time.Now()); d < 0 || d > maxWait {
			t.Errorf("%q: %v", s, d)
		}
	})
}

func FuzzAcceptedWith(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{10, 2, 8, 5})
	f.Fuzz(func(t *testing.T, body []byte) {
		if a := acceptedWith(body); !a.taken() || a.refused < 0 || len(a.why) > 4*200 {
			t.Errorf("%+v", a)
		}
	})
}
