package web

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

func asked(t *testing.T, w *world, query string) *selection {
	t.Helper()
	v, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return w.site(t).look.find(queryOf(v))
}

func TestFilterAndSort(t *testing.T) {
	w := &world{}
	w.source("s", true)
	w.job("a", with(collector.Loss, "train", 3), with(collector.Progress, "", 0.5), func(j *collector.Job) { j.Info.Owner, j.Info.Group = "Élodie", "g1" })
	w.job("b", with(collector.Loss, "train", 1), with(collector.TokensPerSecond, "", 9), func(j *collector.Job) { j.Info.Name = "B-Job"; j.LastStep = 0 })
	w.job("c", with(collector.Loss, "train", math.NaN()), with(collector.Cost, "USD", 5), func(j *collector.Job) { j.LastStep = ago(time.Second) })
	w.job("d", failedAt(time.Minute), func(j *collector.Job) { j.Key.Source, j.Info.Group = "other", "g1" })
	trace := w.jobs[1].TraceID().String()
	for query, want := range map[string]string{
		"":                             "c d a b",
		"q=cuda":                       "d",
		"q=CUDA+OUT":                   "d",
		"q=cuda+nothing":               "",
		"q=élodie":                     "a",
		"q=b-JOB":                      "b",
		"q=" + trace:                   "b",
		"q=" + trace[:12]:              "b",
		"phase=failed":                 "d",
		"phase=trouble":                "c d",
		"phase=active":                 "c a b",
		"phase=nonsense":               "c d a b",
		"source=other":                 "d",
		"source=none":                  "",
		"group=g1":                     "d a",
		"sort=loss":                    "b a c d",
		"sort=-loss":                   "c a b d", // what is not known is last both ways
		"sort=name":                    "b a c d",
		"sort=-progress":               "a d b c",
		"sort=-rate":                   "b a c d",
		"sort=-cost":                   "c d a b",
		"sort=-step":                   "c d a b",
		"sort=drop+table":              "c d a b",
		"rows=2":                       "c d",
		"rows=2&page=2":                "a b",
		"rows=2&page=99":               "a b",
		"rows=2&page=-1":               "c d",
		"rows=0":                       "c d a b",
		"source=s&phase=active&q=name": "c a",
	} {
		got := asked(t, w, query)
		if s := strings.Join(ids(got.shown), " "); s != want {
			t.Errorf("%s: %s, want %s", query, s, want)
		}
	}
}

// TestPagesOfMany: every job stands on exactly one page, in the order of all.
func TestPagesOfMany(t *testing.T) {
	w := &world{}
	w.source("s", true)
	for i, id := range numbered(2500) {
		w.job(id, with(collector.Loss, "train", float64((i*7919)%2500)))
	}
	all := asked(t, w, "sort=loss&rows=100000")
	if len(all.shown) != rowsMost || all.matched != 2500 || all.pages != 3 {
		t.Fatalf("%d shown of %d on %d pages", len(all.shown), all.matched, all.pages)
	}
	var got []string
	for page := range 25 {
		got = append(got, ids(asked(t, w, "sort=loss&page="+string(rune('0'+(page+1)/10))+string(rune('0'+(page+1)%10))).shown)...)
	}
	if len(got) != 2500 || !slices.Equal(got[:1000], ids(all.shown)) {
		t.Errorf("the pages do not join: %d", len(got))
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 2500 {
		t.Error("a job is on two pages")
	}
	body := get(w.site(t), http.MethodGet, "/?page=2&q=name").Body.String()
	for _, want := range []string{"101–200 of 2\u202f500 jobs", "Page 2 of 25", `rel="prev" href="./?q=name#jobs"`, `rel="next" href="./?page=3&amp;q=name#jobs"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := strings.Count(body, `class="phase"`); n != 100 {
		t.Errorf("%d rows", n)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("q=a&phase=failed&sort=-loss&page=3&rows=7&source=x&group=y&all=groups")
	f.Add("q=%ff%fe&rows=99999999999999999999&page=-9223372036854775808&sort=--")
	f.Fuzz(func(t *testing.T, s string) {
		v, _ := url.ParseQuery(s)
		q := queryOf(v)
		again, err := url.ParseQuery(q.String())
		if err != nil {
			t.Fatal(err)
		}
		if r := queryOf(again); r.String() != q.String() {
			t.Errorf("%q became %q", q.String(), r.String())
		}
		if q.Rows < 1 || q.Rows > rowsMost || q.Page < 1 || len(q.Search) > 4*searchMost {
			t.Errorf("out of bounds: %+v", q)
		}
	})
}

func TestContainsFold(t *testing.T) {
	for _, c := range []struct {
		s, word string
		want    bool
	}{
		{"Hello", "hell", true}, {"Hello", "lo", true}, {"Hello", "x", false}, {"", "a", false}, {"ab", "abc", false}, {"ÄPFEL", "äpfel", true},
		{"\xff\xfeok", "ok", true}, {"AAAB", "aab", true},
	} {
		if containsFold(c.s, c.word) != c.want {
			t.Errorf("%q in %q: not %t", c.word, c.s, c.want)
		}
	}
}
