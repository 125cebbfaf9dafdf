package otlp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/common/config"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/trainbridge/trainbridge/collector"
)

// newHTTP is the client that every request of a signal goes through, the SDK's included: it adds the headers, reads
// certificates anew when they change, and follows no redirect.
func newHTTP(s Signal, agent string, dial collector.Dial) (*http.Client, error) {
	base, err := newTransport(s, dial)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport:     &headerTransport{base: base, to: s.URL, agent: agent, headers: headersOf(s)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func newTransport(s Signal, dial collector.Dial) (http.RoundTripper, error) {
	t, err := config.NewTLSConfig(&s.TLS)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return config.NewTLSRoundTripper(t, tlsFiles(s.TLS), func(t *tls.Config) (http.RoundTripper, error) {
		protocols := &http.Protocols{}
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
		return &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dial,
			TLSClientConfig:        t,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        5 * time.Minute,
			MaxResponseHeaderBytes: maxAnswer,
			DisableCompression:     true,
			Protocols:              protocols,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second},
		}, nil
	})
}

func tlsFiles(c config.TLSConfig) config.TLSRoundTripperSettings {
	file := func(name string) config.SecretReader {
		if name == "" {
			return nil
		}
		return config.NewFileSecret(name)
	}
	return config.TLSRoundTripperSettings{CA: file(c.CAFile), Cert: file(c.CertFile), Key: file(c.KeyFile)}
}

// headerTransport sends every request to one URL with the configured headers.
type headerTransport struct {
	base    http.RoundTripper
	to      *url.URL
	agent   string
	headers headerSource
}

// RoundTrip implements http.RoundTripper.
func (t *headerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL = t.to
	r.Header.Set("User-Agent", t.agent)
	if err := t.headers.add(r.Header.Set); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return t.base.RoundTrip(r)
}

// CloseIdleConnections is called by http.Client.
func (t *headerTransport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// httpClient is OTLP/HTTP with binary protobuf.
type httpClient struct {
	url     string
	gzip    bool
	timeout time.Duration
	http    *http.Client
	buf     *bytes.Buffer
	zip     *gzip.Writer
}

func newHTTPClient(s Signal, h *http.Client) *httpClient {
	return &httpClient{url: s.URL.String(), gzip: s.Gzip, timeout: s.Timeout, http: h}
}

func (c *httpClient) close() { c.http.CloseIdleConnections() }

func (c *httpClient) send(ctx context.Context, body []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	packed, err := c.pack(body)
	if err != nil {
		return answer{verdict: denied, why: err.Error()}
	}
	upload := &upload{r: bytes.NewReader(packed)}
	defer func() {
		if !upload.isClosed() { // the transport may still read: leave it the buffer
			c.buf = nil
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, upload)
	if err != nil {
		return answer{verdict: denied, why: "the request could not be made"}
	}
	req.ContentLength = int64(len(packed))
	req.Header.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{verdict: retry, why: reason(err)}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return judge(resp, text)
}

// pack puts the body into the client's own buffer, compressed if so configured.
func (c *httpClient) pack(body []byte) ([]byte, error) {
	if c.buf == nil {
		c.buf = &bytes.Buffer{}
	}
	c.buf.Reset()
	if !c.gzip {
		c.buf.Write(body)
		return c.buf.Bytes(), nil
	}
	if c.zip == nil {
		var err error
		if c.zip, err = gzip.NewWriterLevel(c.buf, gzip.BestSpeed); err != nil {
			return nil, fmt.Errorf("compress: %w", err)
		}
	}
	c.zip.Reset(c.buf)
	if _, err := c.zip.Write(body); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := c.zip.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return c.buf.Bytes(), nil
}

// upload is a request body that knows when the transport is done with it, which may be after the answer.
type upload struct {
	mu     sync.Mutex
	r      *bytes.Reader
	closed bool
}

// Read implements io.Reader.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return 0, errors.New("the request is over")
	}
	return u.r.Read(p)
}

// Close implements io.Closer.
func (u *upload) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	return nil
}

func (u *upload) isClosed() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closed
}

// reason is the text of a failed request without the URL, which net/http puts in front.
func reason(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return collector.Clean(err.Error())
}

// judge reads an answer as the OTLP specification has it, but keeps what the specification lets be dropped where the
// endpoint and not the content is at fault.
func judge(r *http.Response, text []byte) answer {
	if r.StatusCode/100 == 2 {
		if !isProtobuf(r) {
			return answer{}
		}
		return acceptedWith(text)
	}
	a := answer{verdict: denied, why: fmt.Sprintf("%d %s", r.StatusCode, http.StatusText(r.StatusCode))}
	if said := errorText(r, text); said != "" {
		a.why += ": " + said
	}
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		a.verdict = retry
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		a.verdict = rejected
	case http.StatusRequestEntityTooLarge:
		a.verdict = tooLarge
	case http.StatusInternalServerError:
		a.verdict = unclear
	}
	a.after = retryAfter(r.Header.Get("Retry-After"), time.Now())
	return a
}

func isProtobuf(r *http.Response) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-protobuf") && r.Header.Get("Content-Encoding") == ""
}

// errorText is what the receiver says about an error: a google.rpc.Status, or plain text.
func errorText(r *http.Response, text []byte) string {
	if r.Header.Get("Content-Encoding") != "" {
		return ""
	}
	var s statuspb.Status
	if isProtobuf(r) {
		if proto.Unmarshal(text, &s) != nil {
			return ""
		}
		return collector.Clean(s.GetMessage())
	}
	return strings.TrimSpace(collector.Clean(string(text)))
}
