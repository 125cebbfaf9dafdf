package browser

import (
	"encoding/json"
	"strings"
	"time"
)

// html is the page as it stands, without running anything in it; empty while another one comes.
func (p *tab) html() string {
	p.c.t.Helper()
	var root struct{ Root struct{ NodeID int } }
	p.call("DOM.getDocument", nil, &root)
	var outer struct{ OuterHTML string }
	raw, err := p.c.try(p.session, "DOM.getOuterHTML", map[string]any{"nodeId": root.Root.NodeID}, 30*time.Second)
	if err != nil || json.Unmarshal(raw, &outer) != nil {
		return ""
	}
	return outer.OuterHTML
}

// click clicks on the middle of an element, as a mouse does.
func (p *tab) click(selector string) {
	p.c.t.Helper()
	var root struct{ Root struct{ NodeID int } }
	p.call("DOM.getDocument", nil, &root)
	var node struct{ NodeID int }
	p.call("DOM.querySelector", map[string]any{"nodeId": root.Root.NodeID, "selector": selector}, &node)
	p.call("DOM.scrollIntoViewIfNeeded", map[string]any{"nodeId": node.NodeID}, nil)
	var box struct{ Model struct{ Content []float64 } }
	p.call("DOM.getBoxModel", map[string]any{"nodeId": node.NodeID}, &box)
	q := box.Model.Content
	x, y := (q[0]+q[4])/2, (q[1]+q[5])/2
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}, nil)
	}
}

// fits fails the test if the page must be scrolled sideways; tables may scroll in their own box.
func (p *tab) fits(name string, width int) {
	p.c.t.Helper()
	if w := eval[int](p, `document.documentElement.scrollWidth`); w > width {
		wide := eval[string](p, `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".box")).map(e => e.tagName + "." + e.className).slice(0, 5).join(" ")`)
		p.c.t.Errorf("%s: %d wide on a screen of %d: %s", name, w, width, wide)
	}
}

// contrast returns texts whose colour is too near to that behind them.
const contrast = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
	const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const light = c => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
	const behind = e => { const layers = []; for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((b, c) => over(c, b), matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1]); };
	const bad = new Set(); let n = 0;
	const check = (e, color, text) => { n++; const b = behind(e), f = over(parse(color), b), [x, y] = [light(f), light(b)].sort((a, b) => b - a), r = (x + .05) / (y + .05);
		if (r < 4.5) bad.add(r.toFixed(2) + " " + text.slice(0, 40)); };
	const w = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (w.nextNode()) { const e = w.currentNode.parentElement, t = w.currentNode.textContent.trim();
		if (t && !["SCRIPT", "STYLE", "NOSCRIPT"].includes(e.tagName)) check(e, getComputedStyle(e).color, t); }
	for (const i of document.querySelectorAll("input[placeholder]")) check(i, getComputedStyle(i, "::placeholder").color, i.placeholder);
	return JSON.stringify({n, bad: [...bad]});
})()`

// legible fails the test for text of less contrast than 4.5 to 1.
func (p *tab) legible(name string) {
	p.c.t.Helper()
	var got struct {
		N   int
		Bad []string
	}
	if err := json.Unmarshal([]byte(eval[string](p, contrast)), &got); err != nil {
		p.c.t.Fatal(err)
	}
	if got.N < 10 || len(got.Bad) > 0 {
		p.c.t.Errorf("%s: of %d texts these have too little contrast: %s", name, got.N, strings.Join(got.Bad, "; "))
	}
}

// accessible returns what a screen reader could not make sense of.
const accessible = `(() => {
	const bad = [], all = s => [...document.querySelectorAll(s)];
	const need = (ok, what) => { if (!ok) bad.push(what); };
	need(document.documentElement.lang === "en", "language");
	for (const s of ["header", "main", "footer", "nav[aria-label]"]) need(all(s).length === 1, s);
	need(all("h1").length === 1, "one h1");
	for (const s of all("section")) need(s.getAttribute("aria-label") || document.getElementById(s.getAttribute("aria-labelledby"))?.textContent, "section " + s.id);
	for (const e of all("thead th")) need(e.scope === "col" && e.textContent.trim(), "column " + e.outerHTML);
	for (const e of all("tbody th")) need(e.scope === "row", "row " + e.outerHTML);
	for (const e of all("input:not([type=hidden]), select")) need(e.labels.length > 0, "label of " + e.name);
	for (const e of all("a, button")) need(e.textContent.trim() || e.getAttribute("aria-label"), "name of " + e.outerHTML);
	for (const e of all("svg")) need(e.getAttribute("aria-hidden") === "true" || e.getAttribute("role") === "img" && e.getAttribute("aria-label"), "text of " + e.outerHTML.slice(0, 80));
	for (const e of all(".box")) need(e.tabIndex === 0 && e.getAttribute("role") === "group", "box");
	for (const e of all(".sign.bad, .sign.warn")) need(e.textContent.replace(/[^\p{L}\d]/gu, "") || e.parentElement.textContent.replace(/[^\p{L}\d]/gu, ""), "words beside the colour");
	const ids = all("[id]").map(e => e.id);
	need(new Set(ids).size === ids.length, "ids are unique");
	return bad.slice(0, 10).join("; ");
})()`

func (p *tab) accessible(name string) {
	p.c.t.Helper()
	if bad := eval[string](p, accessible); bad != "" {
		p.c.t.Errorf("%s: %s", name, bad)
	}
}
