package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

func testLimits() Limits {
	c := DefaultConfig()
	return c.limits()
}

// tree reads any value into what encoding/json makes of it; numbers stay text.
func tree(d *Decoder) (any, error) {
	switch d.Kind() {
	case Object:
		m := map[string]any{}
		return m, d.Object(func(key string) error {
			v, err := tree(d)
			m[key] = v
			return err
		})
	case Array:
		a := []any{}
		err := d.Array(func(int) error {
			v, err := tree(d)
			a = append(a, v)
			return err
		})
		return a, err
	}
	v, err := d.Value()
	if err != nil {
		return nil, err
	}
	switch v.Kind {
	case Number:
		return json.Number(v.Raw), nil
	case String:
		s, _ := v.Text()
		return s, nil
	case Bool:
		b, _ := v.Bool()
		return b, nil
	}
	return nil, nil
}

func decodeTree(r io.Reader, l Limits) (v any, err error) {
	err = Decode(r, l, func(d *Decoder) error {
		var err error
		v, err = tree(d)
		return err
	})
	return v, err
}

func TestBareWords(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":NaN}`:                                        `{"a":"NaN"}`,
		`[NaN,Infinity,-Infinity, -1,-0.5e3 ]`:             `["NaN","Infinity","-Infinity",-1,-0.5e3]`,
		`{"NaN":"a \"NaN, -Infinity\\","b":[ -Infinity ]}`: `{"NaN":"a \"NaN, -Infinity\\","b":["-Infinity"]}`,
		`NaN`:       `"NaN"`,
		`-Infinity`: `"-Infinity"`,
		`1e999`:     `1e999`,
	} {
		var wantTree any
		dec := json.NewDecoder(strings.NewReader(want))
		dec.UseNumber()
		if err := dec.Decode(&wantTree); err != nil {
			t.Fatal(err)
		}
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)), "eof": iotest.DataErrReader(strings.NewReader(in))} {
			got, err := decodeTree(r, testLimits())
			if err != nil || !reflect.DeepEqual(got, wantTree) {
				t.Errorf("%s %s: got %v, %v", name, in, got, err)
			}
		}
	}
	for _, in := range []string{`[Na]`, `[Nan]`, `[Inf]`, `[-Inf]`, `[Infinit`, `[1NaN]`, `[NaNNaN]`, `[-NaN]`, `[-]`, `-`, `N`, `[NaN`, `[--Infinity]`} {
		for _, r := range []io.Reader{strings.NewReader(in), iotest.OneByteReader(strings.NewReader(in))} {
			if got, err := decodeTree(r, testLimits()); ClassOf(err) != classDecode {
				t.Errorf("%s: got %v, %v", in, got, err)
			}
		}
	}
}

func TestFloat(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		in   string
		f    float64
		ok   bool
		null bool
	}{
		{`1.5`, 1.5, true, false}, {`-0`, math.Copysign(0, -1), true, false}, {`"2e-3"`, 0.002, true, false}, {`" 7 "`, 7, true, false},
		{`true`, 1, true, false}, {`false`, 0, true, false}, {`null`, 0, false, true},
		{`1e999`, inf, true, false}, {`-1e999`, -inf, true, false}, {`"1e999"`, inf, true, false}, {`1e-999`, 0, true, false},
		{`"NaN"`, math.NaN(), true, false}, {`"nan"`, math.NaN(), true, false}, {`"-nan"`, math.NaN(), true, false}, {`NaN`, math.NaN(), true, false},
		{`Infinity`, inf, true, false}, {`-Infinity`, -inf, true, false}, {`"inf"`, inf, true, false}, {`"-Infinity"`, -inf, true, false}, {`"+Inf"`, inf, true, false},
		{`"\u0031"`, 1, true, false},
		{`""`, 0, false, false}, {`"x"`, 0, false, false}, {`"0x1p4"`, 0, false, false}, {`"1_000"`, 0, false, false},
		{`{}`, 0, false, false}, {`[1]`, 0, false, false}, {strconv.Quote(strings.Repeat("1", 2000)), 0, false, false},
	} {
		err := Decode(strings.NewReader(c.in), testLimits(), func(d *Decoder) error {
			v, err := d.Value()
			f, ok, null := v.Float()
			if ok != c.ok || null != c.null || math.Float64bits(f) != math.Float64bits(c.f) && !(math.IsNaN(f) && math.IsNaN(c.f)) {
				t.Errorf("%s: got %v %v %v", c.in, f, ok, null)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
	}
}

func TestOtherValues(t *testing.T) {
	for in, want := range map[string]string{
		`7`: "7 true", `7.0`: "7 true", `"7"`: "7 true", `7.5`: "0 false", `true`: "0 false", `1e300`: "0 false", `null`: "0 false",
		`9223372036854775807`: "9223372036854775807 true", `9223372036854775808`: "0 false", `NaN`: "0 false",
	} {
		_ = Decode(strings.NewReader(in), testLimits(), func(d *Decoder) error {
			v, _ := d.Value()
			n, ok := v.Int()
			if got := fmt.Sprint(n, ok); got != want {
				t.Errorf("%s: got %s", in, got)
			}
			return nil
		})
	}
	got, err := decodeTree(strings.NewReader("[\"a\xffb\", \"\\ud800\", \"\\u00e9\\n\"]"), testLimits())
	if want := []any{"a\uFFFDb", "\uFFFD", "é\n"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

// What a callback leaves unread is skipped, also in the middle of a value.
func TestSkipping(t *testing.T) {
	const in = `{"a":{"b":[1,{"c":2},3]},"d":[[1,2],[3,4],[]],"A":1,"e":"last","e":"won"}`
	var seen []string
	last := ""
	err := Decode(strings.NewReader(in), testLimits(), func(d *Decoder) error {
		return d.Object(func(key string) error {
			seen = append(seen, key)
			switch key {
			case "a":
				_ = d.Object(func(string) error { return d.Array(func(int) error { return errors.New("enough") }) })
			case "d":
				return d.Array(func(i int) error {
					seen = append(seen, strconv.Itoa(i))
					if i == 1 {
						return d.Array(func(int) error { return nil })
					}
					return nil
				})
			case "e":
				v, err := d.Value()
				last, _ = v.Text()
				return err
			}
			return nil
		})
	})
	if got := strings.Join(seen, " "); err != nil || got != "a d 0 1 2 A e e" || last != "won" {
		t.Errorf("got %s, %s, %v", got, last, err)
	}
	if err := Decode(strings.NewReader(in), testLimits(), func(*Decoder) error { return nil }); err != nil {
		t.Errorf("nothing read: %v", err)
	}
}

func TestWrongKindCanBePassedOver(t *testing.T) {
	n := 0
	err := Decode(strings.NewReader(`[{"x":1},null,7,{"x":2}]`), testLimits(), func(d *Decoder) error {
		return d.Array(func(int) error {
			if err := d.Object(func(string) error { return nil }); err != nil {
				if ClassOf(err) != classDecode {
					t.Errorf("got %v", err)
				}
				return nil // judged, and left
			}
			n++
			return nil
		})
	})
	if err != nil || n != 2 {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestBadDocuments(t *testing.T) {
	deep := strings.Repeat(`[`, 33) + strings.Repeat(`]`, 33)
	for _, c := range []struct{ name, in, class string }{
		{"empty", "", classDecode}, {"white", " \n", classDecode}, {"html", "<html>canary</html>", classDecode},
		{"cut", `{"a":[1,2`, classDecode}, {"cut string", `{"a":"canary`, classDecode}, {"trailing", `{}{"canary":1}`, classDecode},
		{"trailing bare", `{} NaN`, classDecode}, {"trailing junk", `{}canary`, classDecode}, {"bracket", `[1}`, classDecode},
		{"trailing comma", `[1,]`, classDecode}, {"single quotes", `{'canary':1}`, classDecode}, {"leading zero", `[01]`, classDecode},
		{"depth", deep, classTooLarge}, {"deep open", strings.Repeat(`{"canary":`, 1000), classTooLarge},
		{"string", `["` + strings.Repeat("a", 64<<10+1) + `"]`, classTooLarge}, {"key", `{"` + strings.Repeat("a", 64<<10+1) + `":1}`, classTooLarge},
		{"items", `[` + strings.Repeat(`1,`, 20001) + `1]`, classTooLarge},
		{"members", `{` + strings.Repeat(`"a":1,`, 16*20001+16) + `"a":1}`, classTooLarge},
		{"bytes", `["` + strings.Repeat(`a","`, 1<<20) + `"]`, classTooLarge},
	} {
		for _, read := range []func(*Decoder) error{
			func(d *Decoder) error { _, err := tree(d); return err },
			func(d *Decoder) error { _, err := d.Value(); return err },
			func(d *Decoder) error { return d.Skip() },
			func(*Decoder) error { return nil },
		} {
			err := Decode(strings.NewReader(c.in), testLimits(), read)
			if ClassOf(err) != c.class || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: got %q %v", c.name, ClassOf(err), err)
			}
		}
	}
	exact := `["` + strings.Repeat("a", 64<<10) + `",` + strings.Repeat(`[`, 31) + strings.Repeat(`]`, 31) + `]`
	if _, err := decodeTree(strings.NewReader(exact), testLimits()); err != nil {
		t.Errorf("at the limits: %v", err)
	}
}

func TestMaxItemsOfOneList(t *testing.T) {
	d := &Decoder{}
	read := func(d *Decoder) error { _, err := tree(d); return err }
	d.reset(strings.NewReader(`[[1,2,3],[1,2,3]]`), testLimits(), 3)
	if err := d.document(read); err != nil {
		t.Errorf("got %v", err)
	}
	d.reset(strings.NewReader(`[1,2,3,4]`), testLimits(), 3)
	if err := d.document(read); ClassOf(err) != classTooLarge {
		t.Errorf("got %v", err)
	}
}

// A reader that fails is not a broken document.
func TestBrokenReader(t *testing.T) {
	broken := errors.New("cut off")
	r := io.MultiReader(strings.NewReader(`{"a":[1,`), iotest.ErrReader(broken))
	if _, err := decodeTree(r, testLimits()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestValueDecode(t *testing.T) {
	err := Decode(strings.NewReader(`[{"a":[1,2]},{"a":NaN}]`), testLimits(), func(d *Decoder) error {
		return d.Array(func(i int) error {
			v, err := d.Value()
			if err != nil {
				return err
			}
			for range 2 {
				if err := v.Decode(func(d *Decoder) error { _, err := tree(d); return err }); err != nil {
					t.Error(err)
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// Eight megabytes of empty objects cost encoding/json into structs almost a gigabyte.
func TestBombAllocates(t *testing.T) {
	bomb := []byte(`{"data":[` + strings.Repeat(`{},`, 8<<20/3) + `{}]}`)
	limits := testLimits()
	limits.Bytes = 16 << 20
	var before, after uint64
	type event struct {
		ID   string
		Data map[string]float64
	}
	var events []event
	before = allocated()
	err := Decode(bytes.NewReader(bomb), limits, func(d *Decoder) error {
		return d.Object(func(string) error {
			return d.Array(func(int) error {
				events = append(events, event{})
				return d.Object(func(string) error { return nil })
			})
		})
	})
	after = allocated()
	if ClassOf(err) != classTooLarge || after-before > 8<<20 {
		t.Errorf("got %d events, %d bytes allocated, %v", len(events), after-before, err)
	}
}

// What is not read is not held, however large it is.
func TestSkippingHoldsLittle(t *testing.T) {
	large := []byte(`{"data":[` + strings.Repeat(`{"id":"`+strings.Repeat("x", 180)+`"},`, 19_998) + `{}]}`)
	before := allocated()
	if err := Decode(bytes.NewReader(large), testLimits(), (*Decoder).Skip); err != nil {
		t.Fatal(err)
	}
	if n := allocated() - before; n > 256<<10 {
		t.Errorf("%d bytes allocated for a document of %d", n, len(large))
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"data":[{"id":"x","type":"gradient_step","data":{"loss/train":0.4,"lr":5e-06,"n":null}}],"has_more":false}`,
		`[NaN,-Infinity,"NaN",-1]`, "\"\xff\\ud800\"", `{"a":1,"a":{"b":[[],{}]}}`, `1e999`, `-`, `[}`, `""`,
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, chunk int) {
		limits := Limits{Bytes: 1 << 20, Items: 1 << 20, Depth: 63, StringBytes: 1 << 20}
		got, err := decodeTree(&chunks{in, max(1, chunk%64)}, limits)
		whole, wholeErr := decodeTree(bytes.NewReader(in), limits)
		if (err == nil) != (wholeErr == nil) || err == nil && !reflect.DeepEqual(got, whole) {
			t.Fatalf("chunks of %d: %v, %v; whole: %v, %v", chunk, got, err, whole, wholeErr)
		}
		var want any
		dec := json.NewDecoder(bytes.NewReader(in))
		dec.UseNumber()
		if dec.Decode(&want) != nil || dec.Decode(new(any)) != io.EOF || ClassOf(err) == classTooLarge {
			return
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v, %v; encoding/json has %#v", got, err, want)
		}
	})
}

// chunks hands out its bytes a few at a time.
type chunks struct {
	b []byte
	n int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(c.n, len(p))], c.b)
	c.b = c.b[n:]
	return n, nil
}
