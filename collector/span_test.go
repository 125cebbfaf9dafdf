package collector

import (
	"strconv"
	"testing"
)

// TestIdsAreFixed holds the ids still: another version of the bridge, and another replica, must make the same ones.
func TestIdsAreFixed(t *testing.T) {
	trace := TraceIDOf(Key{Source: "rl-team", ID: "7d0f6e0a-4b1e-4a57-9b1c-6a2f0f0c2f11"}, 1)
	if got := trace.String(); got != "19ded6bb9a583257b24ba482848b2894" {
		t.Errorf("trace id %s", got)
	}
	if got := spanIDOf(trace, "root", "").String(); got != "a018abfd02792228" {
		t.Errorf("span id %s", got)
	}
}

func TestIdsDoNotRunTogether(t *testing.T) {
	a, b := TraceIDOf(Key{"a", "bc"}, 1), TraceIDOf(Key{"ab", "c"}, 1)
	if a == b {
		t.Error("source and id run together")
	}
	if TraceIDOf(Key{"a", "b"}, 1) == TraceIDOf(Key{"a", "b"}, 2) {
		t.Error("attempts share a trace")
	}
	if spanIDOf(a, "event", "x") == spanIDOf(a, "phase", "x") {
		t.Error("kinds share a span")
	}
}

func TestShardsAreEven(t *testing.T) {
	var n [Shards]int
	for i := range 64_000 {
		n[ShardOf(Key{"s", strconv.Itoa(i)})]++
	}
	for shard, jobs := range n {
		if jobs < 800 || jobs > 1200 {
			t.Errorf("shard %d has %d of 64,000 jobs", shard, jobs)
		}
	}
}
