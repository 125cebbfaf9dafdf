package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// grammar makes hostile documents of good ones.
type grammar struct {
	random *rand.Rand
	// gentle leaves alone what says which jobs and events there are: it adds, and changes the values of free keys only.
	gentle bool
	free   []string
	rate   float64 // of nodes that something happens to
	nodes  int     // of the document so far
	left   int     // bytes of large values that the document may still get: it is the client's memory that is measured, not ours
}

// maxNodes is where documents stop to repeat themselves: repeats inside of repeats would have no end.
const maxNodes = 100_000

// large is how many bytes of large values a document gets, more than a client should read.
const large = 5 << 20

// mutate is a document like body, but worse. A body that is no JSON comes back with noise.
func (g *grammar) mutate(body []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return append(slices.Clone(body), g.noise()...)
	}
	g.rate = []float64{0.3, 0.03, 0.003}[g.random.IntN(3)]
	g.left, g.nodes = large, 0
	var b bytes.Buffer
	b.Grow(len(body) + 64<<10)
	g.value(&b, v)
	if g.chance(0.1) {
		b.WriteString([]string{"}", "]", "\x00", " {}", "null", "\n\n\n", "\xff"}[g.random.IntN(7)])
	}
	return b.Bytes()
}

func (g *grammar) chance(p float64) bool { return g.random.Float64() < p }

func (g *grammar) value(b *bytes.Buffer, v any) {
	if g.nodes++; g.nodes > maxNodes && !g.gentle {
		b.WriteByte('0')
		return
	}
	if !g.gentle && g.chance(g.rate/4) {
		b.WriteString(g.evil())
		return
	}
	switch v := v.(type) {
	case map[string]any:
		g.object(b, v)
	case []any:
		g.array(b, v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // it was JSON
		}
		b.Write(text)
	}
}

func (g *grammar) object(b *bytes.Buffer, o map[string]any) {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	g.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	b.WriteByte('{')
	first := true
	member := func(name string, write func()) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		b.WriteString(strconv.Quote(name)) // names here are plain
		b.WriteByte(':')
		write()
	}
	for _, name := range names {
		if g.chance(g.rate / 2) {
			member(g.name(), func() { b.WriteString(g.evil()) })
		}
		free := slices.Contains(g.free, name) || !g.gentle
		switch {
		case free && g.chance(g.rate/4): // left out
		case free && g.chance(g.rate/2):
			member(name, func() { b.WriteString(g.evil()) })
		case !g.gentle && g.chance(g.rate/4):
			member(strings.ToUpper(name), func() { g.value(b, o[name]) })
		default:
			member(name, func() { g.value(b, o[name]) })
		}
		if free && g.chance(g.rate/4) {
			member(name, func() { b.WriteString(g.evil()) })
		}
	}
	b.WriteByte('}')
}

func (g *grammar) array(b *bytes.Buffer, a []any) {
	a = slices.Clone(a)
	if !g.gentle && len(a) > 0 && g.chance(g.rate) {
		switch g.random.IntN(4) {
		case 0:
			a = a[:g.random.IntN(len(a))]
		case 1:
			a = append(a, a...)
		case 2:
			slices.Reverse(a)
		case 3:
			for range g.random.IntN(200) {
				a = append(a, a[0])
			}
		}
	}
	b.WriteByte('[')
	first := true
	element := func(write func()) {
		if !first {
			b.WriteByte(',')
		}
		first = false
		write()
	}
	for _, v := range a {
		if g.chance(g.rate / 4) {
			element(func() { b.WriteString(g.evil()) })
		}
		element(func() { g.value(b, v) })
	}
	b.WriteByte(']')
}

// name is a key that no provider has.
func (g *grammar) name() string {
	return []string{"", "x", "__proto__", "constructor", "id ", "ID", "data2", "$ref", "é", strings.Repeat("k", 300)}[g.random.IntN(10)]
}

// evil is a value that nobody expects. Most are JSON.
func (g *grammar) evil() string {
	small := []string{
		"null", "true", "false", "0", "-0", "1", "-1", "1e999", "-1e999", "1e-999", "9223372036854775808", "123456789012345678901234567890",
		"0.1e1", "NaN", "-Infinity", "Infinity", `"NaN"`, `"1e999"`, `""`, `" "`, `"null"`, `"\u0000"`, `"\ud800"`, `"\udc00\ud800"`,
		"\"\xff\xfe\"", `"2026-13-45T99:99:99Z"`, `"0000-00-00"`, `"9999-12-31T23:59:59.999999999Z"`, `"-1"`, `"12 Gi"`, `"1e400Ki"`,
		"[]", "{}", "[[]]", "[{}]", "[null]", `{"":null}`, `{"a":{"a":{"a":1}}}`, `"<script>"`, `"../../etc/passwd"`, `"\"\\\b\f\n\r\t"`,
		`"\u202e\u2066"`, `{"a":1,"a":2}`, "[1,]", "{,}", "'x'", "undefined", "01", "+1", ".5", "0x10", `"\x"`, "tru", "\"\n\"",
	}
	if g.left < 0 {
		return small[g.random.IntN(len(small))]
	}
	value := g.sizable(small)
	g.left -= len(value)
	return value
}

// sizable is sometimes a large value, else one of the small ones.
func (g *grammar) sizable(small []string) string {
	switch g.random.IntN(24) {
	case 0:
		return strconv.Quote(strings.Repeat("long ", g.random.IntN(40<<10)))
	case 1:
		depth := g.random.IntN(200)
		return strings.Repeat("[", depth) + strings.Repeat("]", depth)
	case 2:
		depth := g.random.IntN(200)
		return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
	case 3:
		return "[" + strings.Repeat("0,", g.random.IntN(30_000)) + "0]"
	case 4:
		return "[" + strings.Repeat("{},", g.random.IntN(5_000)) + "null]"
	case 5:
		return fmt.Sprintf("%d.%de%d", g.random.Int64(), g.random.Uint64(), g.random.IntN(700)-350)
	case 6:
		var b strings.Builder
		b.WriteByte('{')
		for i := range g.random.IntN(2000) {
			fmt.Fprintf(&b, `"k%d":%d,`, i, i)
		}
		return b.String() + `"end":0}`
	}
	return small[g.random.IntN(len(small))]
}

// noise is bytes of any kind.
func (g *grammar) noise() []byte {
	b := make([]byte, g.random.IntN(2000))
	for i := range b {
		b[i] = byte(g.random.Uint32())
	}
	return b
}
