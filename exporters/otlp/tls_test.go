package otlp

import (
	"encoding/pem"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// TestTLS trusts the authority of ca_file and no other, and speaks HTTP/2 where the receiver does.
func TestTLS(t *testing.T) {
	r := &traceReceiver{t: t}
	srv := httptest.NewUnstartedServer(r)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	for _, tt := range []struct {
		env  map[string]string
		left int
	}{
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": srv.URL}, 1},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": srv.URL, "OTEL_EXPORTER_OTLP_CERTIFICATE": ca}, 0},
	} {
		box := newBox()
		box.add(testSpan(1))
		x, err := New(settings(t, Config{}, tt.env), Options{Outbox: box, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Flush(t.Context()); (err == nil) != (tt.left == 0) || box.len() != tt.left {
			t.Errorf("%v: err %v, %d left", tt.env, err, box.len())
		}
		x.close()
	}
}
