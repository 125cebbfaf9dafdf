package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

// node is what a screen reader is told of one thing on a page.
type node struct {
	ID         string                 `json:"nodeId"`
	Parent     string                 `json:"parentId"`
	Ignored    bool                   `json:"ignored"`
	Role, Name struct{ Value string } `json:",omitempty"`
	Properties []struct {
		Name  string
		Value struct{ Value any }
	}
	Children []string `json:"childIds"`
}

func (n node) property(name string) string {
	for _, p := range n.Properties {
		if p.Name == name {
			return fmt.Sprint(p.Value.Value)
		}
	}
	return ""
}

// tree is the page as a screen reader has it.
type tree struct {
	all []node
	by  map[string]node
}

func (p *tab) tree() *tree {
	p.c.t.Helper()
	var got struct{ Nodes []json.RawMessage }
	p.call("Accessibility.getFullAXTree", nil, &got)
	t := &tree{by: map[string]node{}}
	var root node
	for _, raw := range got.Nodes {
		var n node
		_ = json.Unmarshal(raw, &n) // a name may be no text where there is none
		if t.by[n.ID] = n; n.Parent == "" {
			root = n
		}
	}
	t.walk(root)
	return t
}

// walk puts the nodes in the order in which they are read; they come in the order in which they were made.
func (t *tree) walk(n node) {
	t.all = append(t.all, n)
	for _, c := range n.Children {
		t.walk(t.by[c])
	}
}

// of are the nodes of a role below a node; all of the page where that is empty.
func (t *tree) of(role, below string) (found []node) {
	for _, n := range t.all {
		if !n.Ignored && n.Role.Value == role && (below == "" || t.within(n, below)) {
			found = append(found, n)
		}
	}
	return found
}

func (t *tree) within(n node, id string) bool {
	for n.Parent != "" {
		if n.Parent == id {
			return true
		}
		n = t.by[n.Parent]
	}
	return false
}

func (t *tree) text(n node) string {
	if n.Role.Value == "StaticText" {
		return n.Name.Value
	}
	var parts []string
	for _, c := range n.Children {
		if s := t.text(t.by[c]); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, " ")
}

// faults are what a screen reader could not tell well.
func (t *tree) faults() (bad []string) {
	need := func(ok bool, format string, args ...any) {
		if !ok {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	for _, role := range []string{"banner", "main", "contentinfo", "navigation"} {
		need(len(t.of(role, "")) == 1, "%d landmarks %s", len(t.of(role, "")), role)
	}
	names := map[string]bool{}
	for _, r := range t.of("region", "") {
		need(r.Name.Value != "" && !names[r.Name.Value], "a region is called %q", r.Name.Value)
		names[r.Name.Value] = true
	}
	depth, ones := 0, 0
	for _, h := range t.of("heading", "") {
		var level int
		_, _ = fmt.Sscan(h.property("level"), &level)
		need(level >= 1 && level <= depth+1 && h.Name.Value != "", "heading %q of level %d after one of %d", h.Name.Value, level, depth)
		if depth = level; level == 1 {
			ones++
		}
	}
	need(ones == 1, "%d headings of level 1", ones)
	for _, table := range t.of("table", "") {
		need(table.Name.Value != "", "a table without a name")
		columns := t.of("columnheader", table.ID)
		for _, c := range columns {
			need(c.Name.Value != "", "table %s: a column without a name", table.Name.Value)
		}
		for _, row := range t.of("row", table.ID) {
			if len(t.of("columnheader", row.ID)) > 0 {
				continue
			}
			heads, cells := t.of("rowheader", row.ID), t.of("cell", row.ID)
			need(len(heads) == 1 && len(heads)+len(cells) == len(columns), "table %s: a row of %d heads and %d cells under %d columns: %s",
				table.Name.Value, len(heads), len(cells), len(columns), t.text(row))
		}
	}
	for _, i := range t.of("image", "") {
		need(strings.ContainsAny(i.Name.Value, "0123456789") || i.Name.Value == "no finite value", "an image that says %q", i.Name.Value)
	}
	to := map[string]string{}
	for _, l := range t.of("link", "") {
		name, url := strings.ToLower(l.Name.Value), l.property("url")
		need(strings.TrimSpace(name) != "", "a link to %s without a name", url)
		need(to[name] == "" || to[name] == url, "links called %q lead to %s and to %s", name, to[name], url)
		to[name] = url
	}
	for _, role := range []string{"button", "combobox", "searchbox"} {
		for _, b := range t.of(role, "") {
			need(b.Name.Value != "", "a %s without a name", role)
		}
	}
	return bad
}

// TestScreenReader: the pages make sense to somebody who hears them.
func TestScreenReader(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	f.train()
	p := b.tab()
	for _, width := range []int{1280, 390} {
		p.size(width, 800)
		for _, address := range []string{f.server.URL, f.page("rl-team", f.jobs[0].Key.ID), f.page("research", "run-fail-1"), f.page("none", "none")} {
			p.open(address)
			if !strings.Contains(address, "none") {
				p.until(isLive)
			}
			for _, bad := range p.tree().faults() {
				t.Errorf("%s, %d wide: %s", address, width, bad)
			}
		}
	}
	p.open(f.server.URL + "/?sort=-loss")
	tr := p.tree()
	if n := eval[string](p, `[...document.querySelectorAll("[aria-sort]")].map(e => e.ariaSort + " " + e.innerText).join()`); n != "descending Loss ↓" {
		t.Errorf("sorted by %q", n)
	}
	var heard []string
	for _, r := range tr.of("row", "") {
		heard = append(heard, tr.text(r))
	}
	all := strings.Join(heard, "\n")
	for _, want := range []string{"running mixture-ablation-b", "critical Loss not finite", "failed", "does not answer", "86 °C hot", "60 %"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not heard", want)
		}
	}
	p.calm()
}

// TestAnnouncements: what changes is said once and politely, and the passing of time is not.
func TestAnnouncements(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	p := b.tab()
	p.size(1280, 800)
	p.open(f.server.URL)
	p.until(isLive)
	if live := eval[string](p, `[...document.querySelectorAll("[aria-live], [role=status], [role=alert]")].map(e => e.id).join()`); live != "live,verdict" {
		t.Errorf("said by themselves are %s", live)
	}
	time.Sleep(2 * time.Second) // what the history saw first is said by now
	eval[any](p, `(window.said = [], new MutationObserver(m => said.push(...m.map(c => c.target.textContent.trim()))).observe(document.body, {subtree: true, childList: true, characterData: true}),
		window.spoken = () => said.length, 0)`)
	eval[any](p, `(window.loud = [], [...document.querySelectorAll("#live, #verdict")].forEach(e => new MutationObserver(() => loud.push(e.textContent.trim())).observe(e, {subtree: true, childList: true, characterData: true})), 0)`)
	id := f.jobs[4].Key.ID
	f.change(id, func(j *collector.Job) { j.Steps++ })
	p.until(`spoken() > 0`)
	time.Sleep(2200 * time.Millisecond)
	if loud := eval[[]string](p, `loud`); len(loud) > 0 {
		t.Errorf("a step and two seconds are announced: %q", loud)
	}
	f.change(id, func(j *collector.Job) { j.Phase, j.Ended = collector.Failed, collector.TimeOf(time.Now()) })
	p.until(`loud.length > 0`)
	time.Sleep(1200 * time.Millisecond)
	if loud := eval[[]string](p, `loud`); len(loud) != 1 || !strings.Contains(loud[0], "2 jobs failed") {
		t.Errorf("a failure is announced as %q", loud)
	}
	p.calm()
}

// TestFocusStays: who stands on a link stays on it while others come before it, and is not put on another when it leaves.
func TestFocusStays(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	p := b.tab()
	p.size(1280, 800)
	p.open(f.server.URL)
	p.until(isLive)
	eval[any](p, `[...document.querySelectorAll(".problems a")].find(a => a.textContent === "mixture-ablation-b").focus()`)
	before := eval[int](p, `[...document.querySelectorAll(".problems a")].indexOf(document.activeElement)`)
	f.change(f.jobs[4].Key.ID, func(j *collector.Job) {
		j.Readings = sorted(collector.Reading{Metric: collector.Loss, Label: "train", Null: true, At: collector.TimeOf(time.Now())})
	})
	p.until(`[...document.querySelectorAll(".problems a")].findIndex(a => a.textContent === "mixture-ablation-b") > ` + fmt.Sprint(before))
	if at := eval[string](p, `document.activeElement.textContent`); at != "mixture-ablation-b" {
		t.Errorf("the focus has moved to %q", at)
	}
	f.change("nan-1", func(j *collector.Job) { j.NonFiniteAt, j.Readings = 0, nil })
	p.until(`![...document.querySelectorAll(".problems a")].some(a => a.textContent === "mixture-ablation-b")`)
	if at := eval[string](p, `document.activeElement.id`); at != "attention" {
		t.Errorf("what had the focus has left, and the focus is at %q", at)
	}
	// A row that leaves with the focus leaves it in its table.
	eval[any](p, `[...document.querySelectorAll("#jobrows .name > a")].find(a => a.textContent === "voice-agent-009").focus()`)
	f.mu.Lock()
	f.jobs = slices.DeleteFunc(f.jobs, func(j *collector.Job) bool { return j.Info.Name == "voice-agent-009" })
	f.mu.Unlock()
	f.show()
	p.until(`!document.getElementById("jobrows").innerText.includes("voice-agent-009")`)
	if !eval[bool](p, `document.activeElement.matches("#jobs .box")`) {
		t.Errorf("a row has left, and the focus is at %q", eval[string](p, `document.activeElement.outerHTML.slice(0, 80)`))
	}
	p.calm()
}
