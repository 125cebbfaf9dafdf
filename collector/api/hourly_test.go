package api

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Hourly
		if !h.First("a") || h.First("a") || !h.First("b") {
			t.Error("a reason is told once, and each for itself")
		}
		time.Sleep(time.Hour)
		if !h.First("a") {
			t.Error("an hour later it is not told again")
		}
		for i := range maxTold + 100 {
			h.First(strconv.Itoa(i))
		}
		if len(h.next) > maxTold || h.First("one more") {
			t.Errorf("%d reasons are remembered", len(h.next))
		}
		time.Sleep(time.Hour)
		if !h.First("one more") || len(h.next) != 1 {
			t.Errorf("old reasons stay: %d", len(h.next))
		}
	})
}
