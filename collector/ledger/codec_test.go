package ledger

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
)

var update = flag.Bool("update", false, "write the golden files")

func newTestCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// oddFloats are numbers that careless encodings change.
var oddFloats = []float64{0, math.Copysign(0, -1), 1, 1.5, 0.1, math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0x7ff8dead_beef0001), math.MaxFloat64,
	math.SmallestNonzeroFloat64, 65504, 65505, 1e-7, 16777217}

var oddTexts = []string{"", "plain", "naïve", "\x00", "not \xff UTF-8 \xc3", strings.Repeat("long ", 300)}

// fill sets everything below v to something random, and with full never to zero.
func fill(r *rand.Rand, v reflect.Value, full bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); !f.IsExported() || f.Tag.Get("cbor") == "-" {
				continue // computed from the others
			}
			fill(r, v.Field(i), full)
		}
	case reflect.Pointer:
		if full || r.IntN(4) > 0 || v.Type() == reflect.TypeFor[*collector.Info]() {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), full)
		}
	case reflect.Slice:
		n := 1 + r.IntN(5)
		if !full && r.IntN(3) == 0 {
			n = 0
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), full)
		}
	case reflect.String:
		v.SetString(oddTexts[1+r.IntN(len(oddTexts)-1)])
	case reflect.Bool:
		v.SetBool(full || r.IntN(2) == 0)
	case reflect.Float32, reflect.Float64:
		fillFloat(r, v, full)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt((r.Int64() | 1) >> (64 - v.Type().Bits()))
		if v.Int() == 0 && full {
			v.SetInt(-1)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64()>>(64-v.Type().Bits()) | 1)
	default:
		panic(fmt.Sprintf("the codec test cannot fill a %s: teach it", v.Type()))
	}
}

func fillFloat(r *rand.Rand, v reflect.Value, full bool) {
	f := oddFloats[r.IntN(len(oddFloats))]
	if full {
		f = r.NormFloat64()
	}
	if v.Kind() == reflect.Float32 {
		f = float64(float32(f))
	}
	v.SetFloat(f)
}

// equal is reflect.DeepEqual, but NaN equals itself bit by bit and an empty slice equals nil. It names where they differ.
func equal(path string, a, b reflect.Value) error {
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if !a.Type().Field(i).IsExported() {
				continue
			}
			if err := equal(path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() != b.IsNil() {
				return fmt.Errorf("%s: one is nil", path)
			}
			return nil
		}
		return equal(path, a.Elem(), b.Elem())
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return fmt.Errorf("%s: %d and %d elements", path, a.Len(), b.Len())
		}
		for i := range a.Len() {
			if err := equal(fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Float32, reflect.Float64:
		if math.Float64bits(a.Float()) != math.Float64bits(b.Float()) {
			return fmt.Errorf("%s: %x and %x", path, math.Float64bits(a.Float()), math.Float64bits(b.Float()))
		}
		return nil
	}
	if !a.Equal(b) {
		return fmt.Errorf("%s: %v and %v", path, a, b)
	}
	return nil
}

// durable are the types of records.
var durable = []reflect.Type{
	reflect.TypeFor[collector.Job](), reflect.TypeFor[collector.Group](), reflect.TypeFor[collector.Totals](),
	reflect.TypeFor[tombstone](), reflect.TypeFor[schema](), reflect.TypeFor[tally](),
}

func TestEveryFieldSurvives(t *testing.T) {
	c := newTestCodec(t)
	r := rand.New(rand.NewPCG(1, 2))
	for _, typ := range durable {
		for round := range 300 {
			want, got := reflect.New(typ), reflect.New(typ)
			fill(r, want.Elem(), round < 20)
			rec, err := c.seal(jobKind, []byte("key"), want.Interface())
			if err != nil {
				t.Fatal(err)
			}
			if again, _ := c.seal(jobKind, []byte("key"), want.Interface()); !bytes.Equal(rec, again) {
				t.Fatal("two encodings differ")
			}
			if err := c.open(jobKind, []byte("key"), rec, got.Interface()); err != nil {
				t.Fatal(typ, err)
			}
			if err := equal(typ.Name(), want, got); err != nil {
				t.Fatal("did not survive:", err)
			}
		}
	}
}

// layout lists the fields of a type and of those it holds. A field without a number of its own would be lost on rename.
func layout(t *testing.T, typ reflect.Type, done map[reflect.Type]bool, out *[]string) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		layout(t, typ.Elem(), done, out)
		return
	case reflect.Struct:
	default:
		return
	}
	if done[typ] {
		return
	}
	done[typ] = true
	numbers := map[string]string{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		number, options, _ := strings.Cut(f.Tag.Get("cbor"), ",")
		if number == "-" {
			continue
		}
		if !f.IsExported() || number == "" || strings.Trim(number, "0123456789") != "" || !strings.HasPrefix(options, "keyasint") {
			t.Errorf("%s.%s needs a tag such as `cbor:\"7,keyasint\"` to survive a restart, or `cbor:\"-\"` if it must not", typ, f.Name)
		}
		if numbers[number] != "" {
			t.Errorf("%s.%s and %s have the same number", typ, f.Name, numbers[number])
		}
		numbers[number] = f.Name
		*out = append(*out, fmt.Sprintf("%s %s %s %s", typ, number, f.Name, f.Type))
		layout(t, f.Type, done, out)
	}
}

func TestLayout(t *testing.T) {
	lines := []string{}
	for _, typ := range durable {
		layout(t, typ, map[reflect.Type]bool{}, &lines)
	}
	slices.Sort(lines)
	got := fmt.Sprintf("version %d\n%s\n", Version, strings.Join(slices.Compact(lines), "\n"))
	const golden = "testdata/layout.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the layout of records changed. Raise Version if a release has written the old one, then run go test -update.\n--- %s\n%s--- now\n%s", golden, want, got)
	}
}

// TestARecordFromBeforeBudgets was written by a program whose jobs had no budget among what is said of them.
func TestARecordFromBeforeBudgets(t *testing.T) {
	rec, err := base64.StdEncoding.DecodeString("Ak1Ys9iqAaIBYXMCYWoCqwFhbgJld2FuZGIDYXAEYWcFYW8GYWYHYWIIYnJsCWFoCmF1C2FtBAEFAwoBEQISAhgigaQBFQNjVVNEBPlHAAUFGCigGCkD")
	if err != nil {
		t.Fatal(err)
	}
	var j collector.Job
	if err := newTestCodec(t).open(jobKind, []byte("key"), rec, &j); err != nil {
		t.Fatal(err)
	}
	cost, ok := j.Reading(collector.Cost, "USD")
	if j.Info.Name != "n" || j.Info.Model != "m" || j.Info.Budget != "" || j.Phase != collector.Running || j.NonFiniteAt != 3 || cost != 7 || !ok {
		t.Errorf("%+v of %+v", j, j.Info)
	}
}

func TestRecordsAreRefused(t *testing.T) {
	c := newTestCodec(t)
	rec, err := c.seal(jobKind, []byte("key"), testJob("a", 1))
	if err != nil {
		t.Fatal(err)
	}
	var j collector.Job
	if err := c.open(jobKind, []byte("key"), rec, &j); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"other key":  c.open(jobKind, []byte("kez"), rec, &j),
		"other kind": c.open(groupKind, []byte("key"), rec, &j),
		"short":      c.open(jobKind, []byte("key"), rec[:len(rec)-1], &j),
		"empty":      c.open(jobKind, []byte("key"), nil, &j),
	} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range rec {
		flipped := bytes.Clone(rec)
		flipped[i] ^= 1
		if err := c.open(jobKind, []byte("key"), flipped, &j); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if err := c.open(jobKind, []byte("key"), asVersion(jobKind, "key", rec, Version+1), &j); !errors.Is(err, ErrNewer) {
		t.Error(err)
	}
	if _, err := c.seal(jobKind, nil, strings.Repeat("x", maxRecordSize)); err == nil {
		t.Error("a record without bound was encoded")
	}
}

// asVersion is a record that another version of the program wrote.
func asVersion(k kind, key string, rec []byte, version byte) []byte {
	other, err := sealBytes(k, []byte(key), bytes.Clone(rec))
	if err != nil {
		panic(err)
	}
	other[0] = version
	sum := checksum(k, []byte(key), other)
	other[1], other[2], other[3], other[4] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return other
}

func FuzzRecord(f *testing.F) {
	c := newTestCodec(f)
	r := rand.New(rand.NewPCG(3, 4))
	for range 4 {
		var j collector.Job
		fill(r, reflect.ValueOf(&j).Elem(), true)
		rec, err := c.seal(jobKind, nil, &j)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(rec[headerSize:])
	}
	f.Add([]byte{0xa1, 0x01, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, body []byte) {
		rec, err := sealBytes(jobKind, nil, append(make([]byte, headerSize), body...))
		if err != nil {
			return
		}
		var j, again collector.Job
		if c.open(jobKind, nil, rec, &j) != nil {
			return
		}
		if rec, err = c.seal(jobKind, nil, &j); err != nil {
			t.Fatal(err)
		}
		if err := c.open(jobKind, nil, rec, &again); err != nil {
			t.Fatal(err)
		}
		if err := equal("Job", reflect.ValueOf(j), reflect.ValueOf(again)); err != nil {
			t.Fatal(err)
		}
	})
}
