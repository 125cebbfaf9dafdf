package browser

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/trainbridge/trainbridge/collector"
)

func (f *fleet) page(source, id string) string {
	return f.server.URL + "/jobs?" + url.Values{"source": {source}, "id": {id}}.Encode()
}

const isLive = `document.getElementById("live").textContent.includes("live")`

// TestPages opens what a team may see on a bad night, in the light, in the dark and on a phone, and takes the pictures.
func TestPages(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	f.train()
	for _, scheme := range []string{"light", "dark"} {
		p := b.tab()
		p.scheme(scheme)
		for _, c := range []struct {
			name, address string
			width         int
			full          bool
		}{
			{scheme, f.server.URL, 1440, false},
			{scheme + "-full", f.server.URL, 1440, true},
			{scheme + "-job", f.page("rl-team", f.jobs[0].Key.ID), 1440, true},
			{scheme + "-job-failed", f.page("research", "run-fail-1"), 1440, true},
			{scheme + "-phone", f.server.URL, 360, true},
			{scheme + "-phone-job", f.page("rl-team", f.jobs[0].Key.ID), 360, true},
			{scheme + "-none", f.server.URL + "/?q=nothing+like+it", 1024, true},
			{scheme + "-no-such-job", f.page("none", "none"), 1024, true},
		} {
			p.size(c.width, map[bool]int{true: 740, false: 900}[c.width < 500])
			p.open(c.address)
			if !strings.Contains(c.name, "no-such") {
				p.until(isLive)
			}
			p.picture(c.name, c.full)
			p.fits(c.name, c.width)
			p.legible(c.name)
			p.accessible(c.name)
		}
		p.calm()
		for _, u := range p.requests {
			if !strings.HasPrefix(u, f.server.URL) {
				t.Errorf("the page asks %s", u)
			}
		}
	}
}

// TestTenSeconds: what is wrong, where and why stands in the first thing that is seen.
func TestTenSeconds(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	p := b.tab()
	p.size(1280, 720)
	p.open(f.server.URL)
	seen := eval[string](p, `[...document.querySelectorAll("h1, .problems li")].filter(e => e.getBoundingClientRect().bottom < innerHeight).map(e => e.innerText).join("\n")`)
	for _, want := range []string{"5 problems need attention, 1 job failed within the last hour", "llama-70b-dpo-final", "CUDA out of memory", "Source down", "evals", "refuses the credential", "voice-agent-long-horizon",
		"No step since", "XID 79", "GPU silent"} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q is not seen at first sight:\n%s", want, seen)
		}
	}
	p.calm()
}

// TestManyJobs: a thousand rows, and more on other pages.
func TestManyJobs(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.source("s", true)
	for i := range 2300 {
		f.job("s", fmt.Sprintf("job-%04d", i), collector.Running, func(j *collector.Job) { j.Info.Name = fmt.Sprintf("run %04d", i) })
	}
	f.show()
	p := b.tab()
	p.size(1280, 800)
	began := time.Now()
	p.open(f.server.URL + "/?rows=1000&sort=name")
	t.Logf("a thousand rows are there after %s", time.Since(began).Round(time.Millisecond))
	rows := `[...document.querySelectorAll("#jobrows > tr")]`
	if n := eval[int](p, rows+".length"); n != 1000 {
		t.Fatalf("%d rows", n)
	}
	p.until(isLive)
	f.change("job-0500", func(j *collector.Job) {
		j.Readings = sorted(collector.Reading{Metric: collector.Loss, Label: "train", Value: 0.4321})
	})
	p.until(rows + `[500].innerText.includes("0.4321")`)
	eval[any](p, `document.querySelector("a[rel=next]").click()`)
	p.until(rows + `.length === 1000 && ` + rows + `[0].innerText.includes("run 1000")`)
	eval[any](p, `document.getElementById("q").value = "JOB-22", document.querySelector("form button").click()`)
	p.until(rows + `.length === 100 && ` + rows + `[0].innerText.includes("run 2200")`)
	p.calm()
}

// attack tries to be everything but text.
const attack = "\"'><script>window.hit=1</script><img src=x onerror=\"window.hit=2\"><svg onload=window.hit=3>\u202egnp.exe\u2066{{.}}`javascript:window.hit=4`"

// TestAttacks: names that are attacks stay text, in the page and in updates of it, and nothing of them runs.
func TestAttacks(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.source("s", true)
	for _, id := range []string{"a", attack} {
		f.job("s", id, collector.Failed, func(j *collector.Job) {
			j.Info = &collector.Info{Name: attack + id, Group: attack, Owner: attack, Project: attack, URL: "javascript:window.hit=5"}
			j.Status, j.Message, j.ErrorType, j.Ended = attack, attack, attack, f.ago(time.Minute)
			j.Readings = sorted(collector.Reading{Metric: collector.FreeForm, Label: attack, Value: 1, At: f.ago(time.Minute)}, collector.Reading{Metric: collector.Loss, Label: attack, Value: 1, At: f.ago(time.Minute)})
			j.Trace.Notes = []collector.Note{{At: f.ago(time.Minute), Name: attack, Message: attack}}
		})
	}
	f.groups = append(f.groups, &collector.Group{Key: collector.GroupKey{Source: "s", Name: attack}})
	f.show()
	p := b.tab()
	for _, width := range []int{360, 1280} {
		p.size(width, 800)
		for _, address := range []string{f.server.URL, f.server.URL + "/?" + url.Values{"q": {attack}, "group": {attack}, "source": {attack}}.Encode(), f.page("s", "a"), f.page("s", attack), f.page("s", "none"+attack)} {
			p.open(address)
			p.fits(address, width)
			f.change("a", func(j *collector.Job) { j.Status += "x"; j.Info.Name = "changed " + attack })
			if !strings.Contains(address, "none") && !strings.Contains(address, "group=") {
				p.until(isLive)
			}
			if strings.HasSuffix(address, "id=a") {
				p.until(`document.querySelector("h1").textContent.includes("changed")`)
			}
			if n := eval[int](p, `document.querySelectorAll("img, main script, main style, [onerror], [onload], a[href^='javascript:']").length`); n != 0 {
				t.Errorf("%s: %d elements are not ours", address, n)
			}
			if hit := eval[int](p, `window.hit || 0`); hit != 0 {
				t.Errorf("%s: attack %d ran", address, hit)
			}
			if strings.Contains(address, "/jobs") && !eval[bool](p, `document.querySelector("h1").textContent.includes("<img src=x onerror=")`) {
				t.Errorf("%s: the name is not shown", address)
			}
		}
	}
	p.calm()
	// The policy is a second wall: markup that came in nevertheless would not run.
	p.open(f.server.URL)
	eval[any](p, `document.getElementById("memory").innerHTML = '<img src="data:," onerror="window.hit=6"><p style="color:red">x</p>'`)
	p.wait("the policy to refuse", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.trouble) >= 2
	})
	if eval[bool](p, `window.hit === 6 || getComputedStyle(document.querySelector("#memory p")).color === "rgb(255, 0, 0)"`) {
		t.Error("the policy lets handlers or styles in")
	}
}

// TestUpdates: news arrives without a reload, and leaves alone what a person is doing.
func TestUpdates(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	p := b.tab()
	p.size(1280, 800)
	p.open(f.server.URL)
	eval[any](p, `window.same = true, document.getElementById("q").value = "half a wor"`)
	p.until(isLive)
	row := `document.querySelectorAll("#jobrows tr")[2]` // after the two that are in trouble now
	eval[any](p, `[...document.querySelectorAll("#jobrows .name > a")].find(a => a.textContent.includes("voice-agent-005")).focus()`)
	id := f.jobs[4].Key.ID
	f.change(id, func(j *collector.Job) {
		j.Phase, j.Ended, j.Message, j.ErrorType = collector.Failed, collector.TimeOf(time.Now()), "NCCL watchdog timed out", "hardware"
	})
	p.until(row + `.querySelector("a").textContent === "voice-agent-005"`)
	for what, want := range map[string]string{
		"the row":       row + `.innerText.includes("NCCL watchdog timed out")`,
		"the verdict":   `document.querySelector("h1").textContent.includes("2 jobs failed")`,
		"the title":     `document.title === "(11) trainbridge"`,
		"the list":      `[...document.querySelectorAll(".problems li")].some(li => li.innerText.includes("voice-agent-005"))`,
		"no reload":     `window.same === true`,
		"what is typed": `document.getElementById("q").value === "half a wor"`,
		"the focus":     `document.activeElement.textContent === "voice-agent-005"`,
		"the order":     `document.querySelectorAll("#jobrows tr").length === 36 && new Set([...document.querySelectorAll("#jobrows tr")].map(r => r.id)).size === 36`,
		"ages go on":    `!document.querySelector("time").textContent.includes("UTC")`,
		"said politely": `document.querySelector("h1").closest("[aria-live=polite]") !== null`,
	} {
		if !eval[bool](p, want) {
			t.Errorf("%s: not so", what)
		}
	}
	eval[any](p, `getSelection().selectAllChildren(`+row+`.querySelector(".wrong"))`)
	f.change(id, func(j *collector.Job) { j.Message = "another reason" })
	time.Sleep(2500 * time.Millisecond)
	if !eval[bool](p, `getSelection().toString().includes("NCCL")`) {
		t.Error("selected text was taken away")
	}
	eval[any](p, `getSelection().removeAllRanges()`)
	p.until(row + `.innerText.includes("another reason")`)
	eval[any](p, `document.getElementById("pause").click()`)
	f.change(id, func(j *collector.Job) { j.Message = "a third reason" })
	time.Sleep(2500 * time.Millisecond)
	if eval[bool](p, row+`.innerText.includes("third")`) {
		t.Error("updates come though they are paused")
	}
	eval[any](p, `document.getElementById("pause").click()`)
	p.until(row + `.innerText.includes("third")`)
	p.calm()
}

// TestWithoutScripts: everything is there, found and followed; only updates need a reload.
func TestWithoutScripts(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	f.train()
	p := b.tab()
	p.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	p.size(1280, 800)
	p.open(f.server.URL)
	text := p.html()
	for _, want := range []string{"5 problems need attention", "CUDA out of memory", "<path d=", "s ago</time>", `http-equiv="refresh" content="15"`, "as of 20"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	p.click("#q")
	p.call("Input.insertText", map[string]any{"text": "dpo-final"}, nil)
	p.click(".filter button")
	p.wait("the search", func() bool {
		return strings.Contains(p.html(), "1 of 36 jobs match")
	})
	p.click("#jobrows a")
	p.wait("the job's page", func() bool { return strings.Contains(p.html(), "OOMKilling") })
	p.calm()
}

// TestKeyboard: everything is reached with Tab, in the order of the page, and it is seen where one is.
func TestKeyboard(t *testing.T) {
	b := launch(t)
	f := newFleet(t)
	f.believable()
	p := b.tab()
	p.size(1280, 800)
	p.open(f.server.URL)
	p.until(isLive)
	var order []string
	for range 70 {
		p.key("Tab", 9)
		order = append(order, eval[string](p, `(() => { const e = document.activeElement; return e.id || e.getAttribute("aria-labelledby") || e.name || e.textContent.trim() })()`))
		if !eval[bool](p, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1 })()`) {
			t.Errorf("it is not seen that %q has the focus", order[len(order)-1])
		}
	}
	all := strings.Join(order, "|")
	at := 0
	for _, want := range []string{"Skip to content", "trainbridge", "Jobs", "pause", "mixture-ablation-b", "llama-70b-dpo-final", "q", "phase", "source", "Show", "jobs-h", "What is wrong", "mixture-ablation-b", "voice-agent-005"} {
		i := strings.Index(all[at:], want)
		if i < 0 {
			t.Fatalf("Tab does not come to %q after those before it: %s", want, all)
		}
		at += i
	}
	p.calm()
}
