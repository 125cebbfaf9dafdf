package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/trainbridge/trainbridge/collector"
)

// attacks is a text that tries to be everything but text.
const attacks = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}</style></title><!--\u202egnp.exe\u2066\x00\x1b[31m\xff`javascript:alert(3)` onclick=alert(4) "

// plant puts the attack into every string that v holds.
func plant(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			plant(v.Elem(), depth)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				plant(v.Field(i), depth)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			plant(v.Index(i), depth)
		}
	case reflect.String:
		v.SetString(attacks)
	}
}

func hostile() *world {
	w := &world{warn: []Warning{{Why: attacks, Do: attacks}}}
	w.history = NewHistory(HistoryOptions{Snapshot: w.snapshot})
	down := w.source("s", false)
	down.Health.LastError = attacks
	down.Jobs[collector.Running] = 3
	j := w.job("a", failedAt(time.Minute), with(collector.Loss, "train", 1), with(collector.FreeForm, "x", 2), with(collector.Cost, "USD", 3),
		with(collector.CostEstimated, "USD", 3), with(collector.GPUUtilization, "0", 0.5))
	j.Trace.Notes = []collector.Note{{At: ago(time.Minute), Name: "n", Message: "m"}}
	j.NonFinite = []collector.Count{{Name: "n", N: 1}}
	g := &collector.Group{Key: collector.GroupKey{Source: "s", Name: "g"}}
	w.groups = append(w.groups, g)
	gpu := &collector.GPU{ID: "g", Up: true, Jobs: []collector.Key{{}}, Values: []collector.GPUValue{{Metric: collector.DeviceXIDLast, Label: "79", Value: ago(time.Minute).Seconds()}}}
	w.gpus = &collector.GPUView{Host: &collector.GPUHost{Detail: "d"}, GPUs: []*collector.GPU{gpu}}
	for _, v := range []any{j, g, gpu, w.gpus.Host, &down.Name} {
		plant(reflect.ValueOf(v), 0)
	}
	running := *j
	info := *j.Info
	info.URL = "javascript:alert(1)"
	running.Info, running.Phase, running.Ended, running.Key.ID = &info, collector.Running, 0, attacks+"2"
	w.jobs = append(w.jobs, &running)
	w.history.Look(at.Add(-time.Minute))
	again := running
	again.Readings = slices.Clone(running.Readings)
	for i := range again.Readings {
		again.Readings[i].At = ago(0)
	}
	w.jobs[1] = &again
	w.history.Look(at)
	return w
}

// TestAttacksStayText: whatever the texts of services are, the pages hold no element, no attribute and no address of theirs.
func TestAttacksStayText(t *testing.T) {
	w := hostile()
	s := w.site(t)
	for _, path := range []string{
		"/", "/?" + url.Values{"q": {attacks}, "group": {attacks}, "source": {attacks}, "phase": {attacks}, "sort": {attacks}}.Encode(),
		"/" + jobLink(w.jobs[0].Key), "/" + jobLink(w.jobs[1].Key), "/" + jobLink(collector.Key{Source: attacks, ID: "none" + attacks}),
	} {
		body := get(s, http.MethodGet, path).Body.String()
		if strings.Count(body, "<script>") != 1 || strings.Count(body, "<style>") != 1 {
			t.Errorf("%s: a script or style too many", path)
		}
		inspect(t, path, body)
	}
	for _, v := range []*viewer{{site: s, query: queryOf(nil)}, {site: s, job: w.jobs[0].Key}, {site: s, job: w.jobs[1].Key}} {
		text, err := v.next()
		if err != nil {
			t.Fatal(err)
		}
		var m message
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(text), "data: ")), &m); err != nil || strings.Count(string(text), "\n") != 2 {
			t.Fatalf("%v: %q", err, text)
		}
		for id, content := range m.Set {
			if strings.ContainsAny(id, `"'<> `) {
				t.Errorf("id %q", id)
			}
			inspect(t, id, content)
		}
	}
}

var (
	elements = strings.Fields(`html head meta title link noscript style script body a header nav p span button main div section h1 h2 form label input
		select option table thead tbody tr th td small bdi svg path rect b ol ul li code dl dt dd figure figcaption footer time`)
	attributes = strings.Fields(`lang charset name content http-equiv rel href class id data-now data-stream data-l aria-label aria-labelledby aria-live
		aria-atomic aria-hidden aria-sort role tabindex hidden type action method value maxlength placeholder autocomplete selected scope title datetime
		viewbox preserveaspectratio width height x y d target`)
)

// inspect fails the test for markup that the templates do not have.
func inspect(t *testing.T, where, text string) {
	t.Helper()
	if strings.Contains(text, "ZgotmplZ") && !strings.Contains(where, "jobs") {
		t.Errorf("%s: an address was not accepted", where)
	}
	for _, r := range []string{"\u202e", "\u2066", "\x00", "\x1b", "\xff"} {
		if strings.Contains(text, r) {
			t.Errorf("%s: holds %q", where, r)
		}
	}
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.CommentToken:
			t.Errorf("%s: a comment: %s", where, z.Token())
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if !slices.Contains(elements, token.Data) {
				t.Errorf("%s: <%s>", where, token.Data)
			}
			for _, a := range token.Attr {
				if !slices.Contains(attributes, strings.ToLower(a.Key)) {
					t.Errorf("%s: <%s %s=%q>", where, token.Data, a.Key, a.Val)
				}
				if a.Key == "href" && !allowed(token, a.Val) {
					t.Errorf("%s: leads to %q", where, a.Val)
				}
			}
		}
	}
}

func allowed(token html.Token, address string) bool {
	for _, prefix := range []string{"./", "#", "jobs?", "probe?", "metrics", "-/"} {
		if strings.HasPrefix(address, prefix) {
			return true
		}
	}
	if token.Data == "link" {
		return strings.HasPrefix(address, "data:image/svg+xml,")
	}
	return (strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")) && slices.Contains(token.Attr, html.Attribute{Key: "rel", Val: "noopener noreferrer"})
}

// TestAddressesOfJobs: a browser is sent to nothing but http and https.
func TestAddressesOfJobs(t *testing.T) {
	for address, link := range map[string]bool{
		"https://x.example/a?b=c#d": true, "http://x.example": true, "javascript:alert(1)": false, "JAVASCRIPT:alert(1)": false, "data:text/html,x": false,
		"//x.example": false, "/jobs": false, "https://user:pw@x.example": false, "https:": false, "\tjavascript:alert(1)": false, "ftp://x.example": false,
		"https://x.example/\"onclick=\"alert(1)": true, "": false,
	} {
		w := &world{}
		w.source("s", true)
		j := w.job("a", func(j *collector.Job) { j.Info.URL = address })
		body := get(w.site(t), http.MethodGet, "/"+jobLink(j.Key)).Body.String()
		inspect(t, address, body)
		if got := strings.Contains(body, `target="_blank"`); got != link {
			t.Errorf("%q: link %t", address, got)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	w := &world{}
	w.source("s", true)
	j := w.job("a", failedAt(time.Minute), func(j *collector.Job) {
		j.Info.Name, j.Message = strings.Repeat("n\u0301ä", 5000), strings.Repeat("m", 100_000)
	})
	for _, path := range []string{"/", "/" + jobLink(j.Key)} {
		if n := get(w.site(t), http.MethodGet, path).Body.Len() - len(pageCSS) - len(pageJS); n > 30_000 {
			t.Errorf("%s: %d bytes", path, n)
		}
	}
}
