package program

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trainbridge/trainbridge/cmd/internal/memnet"
)

// TestRehearsal plays a scenario in virtual time.
func TestRehearsal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &memnet.Network{}
		var out buffer
		r, err := NewRehearsal(RehearsalOptions{Scenario: "auth_rejected", Network: n, Log: slog.New(slog.NewTextHandler(&out, nil))})
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
		defer client.CloseIdleConnections()
		read := func() string {
			resp, err := client.Get("http://" + r.Address() + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			return string(text)
		}
		r.Start()
		time.Sleep(warmUp - time.Second)
		if e := exposition(read()); !e.any("training_source_up", `training_source="wandb"`, is(1)) || !e.any("nvml_gpu_up", ".*", is(1)) {
			t.Errorf("before the fault:\n%s", e)
		}
		time.Sleep(10 * time.Minute)
		if e := exposition(read()); !e.any("training_source_fault_info", `training_source="wandb",error_type="auth"`, is(1)) {
			t.Errorf("the fault does not show:\n%s", e)
		}
		if err := r.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if e := exposition(read()); e.any("training_source_fault_info", `.*`, is(1)) {
			t.Errorf("the fault goes on:\n%s", e)
		}
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
		if strings.Contains(out.String(), "cannot play") {
			t.Error(out.String())
		}
	})
}
