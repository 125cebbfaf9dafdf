package runai

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/runai/runaitest"
)

// TestATokenThatIsRenewedIsNobodysToReplace: a ready one is, and takes its place in the health when the configuration changes.
func TestATokenThatIsRenewedIsNobodysToReplace(t *testing.T) {
	b := newBench(t, runaitest.Options{}, nil)
	b.round()
	if v := b.health.View(); !v.CredentialExpiry.Known() || !v.Renewed {
		t.Errorf("ends %v, renewed %v", v.CredentialExpiry.Std(), v.Renewed)
	}
	if got := b.source.CredentialExpiry(); !got.IsZero() {
		t.Errorf("somebody must replace it at %v", got)
	}
	for text, want := range map[string]int64{jwt(`{"exp":1900000000}`): 1_900_000_000, "opaque": 0} {
		c := Config{BaseURL: b.net.Base()}
		c.HTTP.HTTP.Authorization = &config.Authorization{Credentials: config.Secret(text)}
		s, err := New(c, collector.Env{Name: "test", Log: slog.New(slog.DiscardHandler), Health: b.health})
		if err != nil {
			t.Fatal(err)
		}
		b.health.Expiry(s.CredentialExpiry())
		wanted := collector.Time(want) * collector.Time(time.Second)
		if v := b.health.View(); v.CredentialExpiry != wanted || v.Renewed {
			t.Errorf("%.8s: ends %v, renewed %v", text, v.CredentialExpiry.Std(), v.Renewed)
		}
		s.Close()
	}
}
