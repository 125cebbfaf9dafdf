package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"testing"
)

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// page is 100 events with ten numbers under free keys.
func page() []byte {
	var b bytes.Buffer
	b.WriteString(`{"object":"list","data":[`)
	for i := range 100 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"0b6c9f11-27aa-4b1e-9b1c-%012d","type":"gradient_step","data":{`, i)
		for k, key := range []string{"loss/train", "loss/grad_norm", "loss/entropy", "loss/learning_rate", "loss/kl_div",
			"reward", "num_tokens", "num_trajectories", "tokens_per_second", "reward_std_dev"} {
			if k > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `%q:%v`, key, math.Sqrt(float64(i*10+k))/3)
		}
		b.WriteString(`}}`)
	}
	b.WriteString(`],"first_id":"a","last_id":"b","has_more":true}`)
	return b.Bytes()
}

type sample struct {
	key   string
	value float64
}

type event struct {
	id      string
	samples []sample
}

// readPage decodes as a source would: the id is the one allocation of an event.
func readPage(d *Decoder, events []event) ([]event, error) {
	events = events[:0]
	err := d.Object(func(key string) error {
		if key != "data" {
			return nil
		}
		return d.Array(func(i int) error {
			if i < cap(events) {
				events = events[:i+1]
			} else {
				events = append(events, event{})
			}
			return readEvent(d, &events[i])
		})
	})
	return events, err
}

func readEvent(d *Decoder, e *event) error {
	e.samples = e.samples[:0]
	return d.Object(func(key string) error {
		switch key {
		case "id":
			v, err := d.Value()
			e.id, _ = v.Text()
			return err
		case "data":
			return d.Object(func(key string) error {
				v, err := d.Value()
				if f, ok, _ := v.Float(); ok {
					e.samples = append(e.samples, sample{key, f})
				}
				return err
			})
		}
		return nil
	})
}

func decodePage(d *Decoder, in *bytes.Reader, b []byte, events []event) ([]event, error) {
	in.Reset(b)
	d.reset(in, testLimits(), 0)
	err := d.document(func(d *Decoder) (err error) {
		events, err = readPage(d, events)
		return err
	})
	return events, err
}

func TestOneAllocationPerEvent(t *testing.T) {
	b := page()
	var d Decoder
	var in bytes.Reader
	var events []event
	n := testing.AllocsPerRun(20, func() {
		var err error
		if events, err = decodePage(&d, &in, b, events); err != nil || len(events) != 100 || len(events[99].samples) != 10 {
			t.Fatal(len(events), err)
		}
	})
	if n > 110 {
		t.Errorf("%v allocations for a page of 100 events, want about one for each", n)
	}
	var want struct {
		Data []struct{ Data map[string]float64 }
	}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		for _, s := range e.samples {
			if math.Float64bits(want.Data[i].Data[s.key]) != math.Float64bits(s.value) {
				t.Fatalf("event %d: %s is %v, encoding/json has %v", i, s.key, s.value, want.Data[i].Data[s.key])
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	doc := page()
	b.Run("api", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(doc)))
		var d Decoder
		var in bytes.Reader
		var events []event
		for b.Loop() {
			var err error
			if events, err = decodePage(&d, &in, doc, events); err != nil {
				b.Fatal(err)
			}
		}
	})
	// What a source would write with the standard library: to judge each value alone it must keep them raw.
	b.Run("encoding_json_raw_maps", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			var page struct {
				Data []struct {
					ID   string                     `json:"id"`
					Type string                     `json:"type"`
					Data map[string]json.RawMessage `json:"data"`
				} `json:"data"`
			}
			if err := json.NewDecoder(bytes.NewReader(doc)).Decode(&page); err != nil {
				b.Fatal(err)
			}
			for _, e := range page.Data {
				for _, raw := range e.Data {
					var f float64
					if err := json.Unmarshal(raw, &f); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	})
	b.Run("encoding_json_maps", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			var m map[string]any
			if err := json.NewDecoder(bytes.NewReader(doc)).Decode(&m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRequest is one whole call of a service in memory, with all that stands around the decoder.
func BenchmarkRequest(b *testing.B) {
	doc := string(page())
	c := virtual(Config{RateLimit: 1e9, Burst: 1e9}, nil, nil, func(*http.Request) *http.Response {
		return answer(200, doc, "X-RateLimit-Limit", "1000000", "X-RateLimit-Remaining", "999999", "X-RateLimit-Reset", "60", "Date", "Mon, 02 Mar 2026 10:00:00 GMT")
	})
	r := Request{Operation: "get", URL: &url.URL{Scheme: "https", Host: "service.example", Path: "/v1"}}
	var events []event
	b.ReportAllocs()
	for b.Loop() {
		if err := c.JSON(b.Context(), r, func(d *Decoder) (err error) {
			events, err = readPage(d, events)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}
