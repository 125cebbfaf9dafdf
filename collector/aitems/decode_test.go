package aitems

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector/api"
)

func limits() api.Limits {
	return api.Limits{Bytes: 4 << 20, Items: 20000, Depth: 32, StringBytes: 64 << 10}
}

func decodeTrainings(body string) (p *page[training], err error) {
	err = api.Decode(strings.NewReader(body), limits(), func(d *api.Decoder) (err error) {
		p, err = readTrainings(d)
		return err
	})
	return p, err
}

// TestTrainings has lines of a listing that are odd in one place each. The others are read all the same.
func TestTrainings(t *testing.T) {
	p, err := decodeTrainings(`{"trains":[
		{"serviceId":"s","type":"pop","hpConfig":{"is_enabled":false},"version":"maqll000001","status":"completed","createdDate":"2024-07-30T11:25:36.558","inference":true},
		{"type":"personalRecommend","hpConfig":{"is_enabled":true,"epochs":20,"mode":"auto"},"version":"9fn93000002","description":"nightly","status":"learning"},
		null, 7, "text", [], {}, {"type":"pop"}, {"version":"v"}, {"type":"a/b","version":"v"}, {"type":"pop","version":"../x"},
		{"type":"pop","version":12345,"status":null,"description":null,"hpConfig":null,"createdDate":null},
		{"type":"pop","version":"odd","status":5,"hpConfig":[1],"createdDate":1722306336558,"description":{"a":1},"new":{"x":[1,2]}},
		{"type":"pop","version":"opt","hpConfig":{"epochs":"30","other":null}},{"type":"pop","version":"opt2","hpConfig":{"epochs":true}},
		{"type":"pop","version":"opt3","hpConfig":{"epochs":"many"}},{"type":"pop","version":"opt4","hpConfig":{"epochs":-1}}
	],"offset":0,"limit":1000}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []training{
		{kind: "pop", version: "maqll000001", status: "completed", created: "2024-07-30T11:25:36.558"},
		{kind: "personalRecommend", version: "9fn93000002", status: "learning", description: "nightly", epochs: 20},
		{kind: "pop", version: "12345"},
		{kind: "pop", version: "odd", odd: []string{"status", "hpConfig", "createdDate", "description"}},
		{kind: "pop", version: "opt", epochs: 30}, {kind: "pop", version: "opt2"}, {kind: "pop", version: "opt3"}, {kind: "pop", version: "opt4"},
	}
	if got := fmt.Sprint(p.items); got != fmt.Sprint(want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	if p.size != 17 || p.limit != 1000 || len(p.odd) != 9 {
		t.Errorf("%d elements, limit %d, odd %v", p.size, p.limit, p.odd)
	}
}

func TestLists(t *testing.T) {
	for body, want := range map[string]string{
		`{"trains":null}`: "0 0", `{"trains":[]}`: "0 0", `{"limit":5,"trains":[{"type":"p","version":"v"}]}`: "1 5",
		`{"trains":[],"limit":"7"}`: "0 7", `{"trains":[],"limit":-7}`: "0 0", `{"trains":[],"limit":null}`: "0 0",
		`{}`: "no list", `[]`: "expected an object", `null`: "expected an object", `{"trains":{}}`: "expected an array", `{"trains":[`: "ends in the middle",
		`{"services":[]}`: `no list "trains"`,
	} {
		p, err := decodeTrainings(body)
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(len(p.items), p.limit)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func FuzzLists(f *testing.F) {
	f.Add([]byte(`{"trains":[{"type":"pop","version":"v","hpConfig":{"epochs":3},"status":"learning"},{"type":"pop"}],"limit":2}`))
	f.Add([]byte(`{"services":[{"serviceId":"b28ao000001","name":"shop_reco"}],"offset":0,"limit":1000}`))
	f.Add([]byte(`{"updates":[{"updateVersion":"u","createdDate":"2024-07-30T11:25:36.558","updateResult":{"inputUsersCnt":3}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		decode(t, body, readTrainings)
		decode(t, body, readServices)
		decode(t, body, readUpdates)
	})
}

// decode holds for every answer: what is read has a key that can be part of a job's id, and nothing is counted out.
func decode[T keyed](t *testing.T, body []byte, read func(*api.Decoder) (*page[T], error)) {
	var p *page[T]
	err := api.Decode(bytes.NewReader(body), limits(), func(d *api.Decoder) (err error) {
		p, err = read(d)
		return err
	})
	if err != nil {
		return
	}
	if p.size < len(p.items) || p.limit < 0 {
		t.Errorf("%d elements, %d items, limit %d", p.size, len(p.items), p.limit)
	}
	for _, item := range p.items {
		for part := range strings.SplitSeq(item.key(), "/") {
			if !isID(part) {
				t.Errorf("key %q", item.key())
			}
		}
	}
	if l, err := readAll(0, func(int) (*page[T], error) { return p, nil }); err != nil || len(l.items) > len(p.items) {
		t.Errorf("%d of %d, %v", len(l.items), len(p.items), err)
	}
}

func TestDates(t *testing.T) {
	seoul, _ := parseZone(defaultZone)
	want := time.Date(2024, 7, 30, 2, 25, 36, 0, time.UTC)
	for text, fraction := range map[string]time.Duration{
		"2024-07-30T11:25:36": 0, "2024-07-30T11:25:36.5": 500 * time.Millisecond, "2024-07-30T11:25:36.558": 558 * time.Millisecond,
		"2024-07-30T11:25:36.123456": 123456 * time.Microsecond, "2024-07-30T11:25:36.123456789": 123456789, "2024-07-30 11:25:36.558": 558 * time.Millisecond,
		"2024-07-30T02:25:36Z": 0, "2024-07-30T02:25:36.558Z": 558 * time.Millisecond, "2024-07-30T11:25:36+09:00": 0,
		"2024-07-29T21:25:36.5-05:00": 500 * time.Millisecond, "2024-07-30T11:25:36.5+0900": 500 * time.Millisecond, " 2024-07-30T11:25:36 ": 0,
	} {
		got, ok := parseDate(text, seoul)
		if !ok || !got.Std().Equal(want.Add(fraction)) {
			t.Errorf("%q is %v", text, got.Std())
		}
	}
	for _, text := range []string{
		"", "null", "2024-07-30", "11:25:36", "1722306336558", "2024-13-30T11:25:36", "1999-07-30T11:25:36", "9999-07-30T11:25:36", "0001-01-01T00:00:00",
		strings.Repeat("2", 100), "2024-07-30T11:25:36.", "2024-07-30T11:25:36 KST",
	} {
		if got, ok := parseDate(text, seoul); ok || got.Known() {
			t.Errorf("%q is %v", text, got.Std())
		}
	}
}

func TestZones(t *testing.T) {
	at := time.Date(2024, 7, 30, 0, 0, 0, 0, time.UTC)
	for name, want := range map[string]int{"Asia/Seoul": 9 * 3600, "KST": 9 * 3600, "UTC": 0, "+09:00": 9 * 3600, "-03:30": -12600, "Z": 0} {
		zone, err := parseZone(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, offset := at.In(zone).Zone(); offset != want {
			t.Errorf("%s is %d seconds off", name, offset)
		}
	}
	for _, name := range []string{"", "Local", "+9", "+0900", "09:00", "Nowhere", "../../etc/passwd"} {
		if zone, err := parseZone(name); err == nil {
			t.Errorf("%q is %v", name, zone)
		}
	}
}

// FuzzDates holds for every text: it is no date, or one of a year that a training can have.
func FuzzDates(f *testing.F) {
	for _, s := range []string{"2024-07-30T11:25:36.558", "2024-07-30T11:25:36+09:00", "2024-07-30 11:25:36Z", "2024-02-30T11:25:36", "2100-01-01T00:00:00,5"} {
		f.Add(s)
	}
	seoul, _ := parseZone(defaultZone)
	f.Fuzz(func(t *testing.T, text string) {
		at, ok := parseDate(text, seoul)
		if ok != at.Known() {
			t.Errorf("%q: %v %v", text, at, ok)
		}
		if y := at.Std().Year(); ok && (y < 1999 || y > 2200) {
			t.Errorf("%q is of the year %d", text, y)
		}
	})
}
