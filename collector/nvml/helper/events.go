package helper

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/nvml/driver"
)

// listen registers the GPU for events and starts to wait for them.
func (g *gpu) listen(ctx context.Context) {
	var events driver.Events
	err := g.do(callEvents, func() (err error) {
		events, err = g.driver.Events([]driver.Device{g.whole.device})
		return err
	})
	if err != nil && !errors.Is(err, driver.ErrNotSupported) {
		return // once more at the next slow tick
	}
	g.listening = true
	if err == nil && events != nil {
		go g.host.hear(ctx, events)
	}
}

// hear waits for XIDs.
func (h *host) hear(ctx context.Context, events driver.Events) {
	for ctx.Err() == nil {
		began, pause := time.Now(), h.options.Interval
		x, ok, err := events.Wait(waitEvents)
		switch {
		case err == nil && ok:
			h.xid(x)
			continue
		case err == nil:
			pause = max(0, xidGrace-time.Since(began)) // who does not wait must not be asked without end
		default:
			h.cost(callEvents, began, err)
		}
		if err != nil && staleLibrary(driver.KindOf(err)) {
			h.fail(err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// xid counts an XID.
func (h *host) xid(x driver.XID) {
	code := collector.OtherClass
	if x.Code < 1000 {
		code = strconv.FormatUint(x.Code, 10)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := xidKey{collector.Clean(x.ID), code}
	known := h.xids[key]
	if known == nil {
		if len(h.xids) >= MaxXIDs {
			return
		}
		known = &XID{ID: key.id, Code: key.code}
		h.xids[key] = known
	}
	known.N++
	known.Last = collector.TimeOf(time.Now())
	h.want(xidGrace)
}
