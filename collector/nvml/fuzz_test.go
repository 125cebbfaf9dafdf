package nvml

import (
	"bytes"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/helper"
)

// FuzzFrame gives the monitor whatever a helper may write: views keep their promises, and what is shown is bounded.
func FuzzFrame(f *testing.F) {
	var buf bytes.Buffer
	frame := healthy(0, "GPU-a", "GPU-b")
	frame.XIDs = []helper.XID{{ID: "GPU-a", Code: "79", N: 1, Last: 1}}
	_ = helper.WriteFrame(&buf, frame)
	frame.GPUs[0].Values[1].Value = 1
	frame.GPUs[1].Info.Parent, frame.Fault = "GPU-a", "no_driver"
	_ = helper.WriteFrame(&buf, frame)
	f.Add(buf.Bytes())
	f.Add([]byte{0, 0, 0, 1, 0xa0})
	f.Fuzz(func(t *testing.T, in []byte) {
		w := newWatcher()
		m, err := New(Config{}, Env{Command: []string{"none"}, Publish: func(v *collector.GPUView) {
			for _, problem := range w.see(v) {
				t.Error(problem)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		m.current = newLife(1, now)
		r := bytes.NewReader(in)
		for m.current != nil {
			frame, err := helper.ReadFrame(r)
			if err != nil {
				break
			}
			now = now.Add(time.Second)
			m.take(m.current, frame, now)
			m.show(now)
		}
	})
}
