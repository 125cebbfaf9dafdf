package wandb

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

var update = flag.Bool("update", false, "write the golden files")

func limits() api.Limits {
	return api.Limits{Bytes: 4 << 20, Items: 20000, Depth: 32, StringBytes: 64 << 10}
}

func decodePage(body []byte, stepKey string) (*pageReader, error) {
	r := &pageReader{stepKey: stepKey}
	r.alone()
	r.see(body)
	err := api.Decode(bytes.NewReader(body), limits(), r.read)
	return r, err
}

// describe writes a page for people and golden files.
func describe(p *page) string {
	var b strings.Builder
	names := &nameless{}
	for i := range p.items {
		e := &p.items[i]
		fmt.Fprintf(&b, "%s %s", names.id(e), e.event.Type)
		if e.event.Bad {
			b.WriteString(" bad")
		}
		if e.event.Failed {
			fmt.Fprintf(&b, " failed %q", e.event.Message)
		}
		if e.event.Limit != 0 {
			fmt.Fprintf(&b, " limit %v", e.event.Limit)
		}
		if e.event.Duration != 0 {
			fmt.Fprintf(&b, " duration %v", e.event.Duration)
		}
		if len(e.odd) > 0 {
			fmt.Fprintf(&b, " unknown %v", e.odd)
		}
		b.WriteByte('\n')
		for _, r := range e.event.Readings {
			fmt.Fprintf(&b, "  %s\n", describeReading(r))
		}
	}
	fmt.Fprintf(&b, "more %d, unknown %v\n", p.more, p.odd)
	return b.String()
}

func describeReading(r collector.Reading) string {
	name := map[collector.Metric]string{
		collector.Loss: "loss", collector.LearningRate: "learning rate", collector.GradientNorm: "gradient norm",
		collector.TokensPerSecond: "tokens per second", collector.FreeForm: "free-form",
	}[r.Metric]
	if r.Label != "" {
		name += " " + r.Label
	}
	if r.Null {
		return name + " null"
	}
	return fmt.Sprintf("%s %v", name, r.Value)
}

func TestGoldenPages(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no pages", err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := decodePage(body, "step_seconds")
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		golden(t, strings.TrimSuffix(file, ".json")+".golden", describe(&r.page))
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", file, got)
	}
}

func TestPageMustHaveList(t *testing.T) {
	for _, body := range []string{`{}`, `{"detail":"x"}`, `[]`, `"x"`, `{"data":7}`} {
		if _, err := decodePage([]byte(body), ""); err == nil {
			t.Errorf("%s was taken for a page", body)
		}
	}
	if r, err := decodePage([]byte(`{"data":null}`), ""); err != nil || len(r.page.items) != 0 {
		t.Error("a list that is null is an empty one:", err)
	}
}

// TestSalvage keeps what stands before an event that makes the whole answer unreadable, and sets that event aside.
func TestSalvage(t *testing.T) {
	const head = `{"data":[{"id":"a","type":"gradient_step","data":{"loss":1}},`
	tests := map[string]struct {
		body  string
		limit int
		ids   string // with ! after those set aside; - if nothing can be used
	}{
		"long text":        {head + `{"id":"b","type":"x","data":{"t":"` + strings.Repeat("x", 65<<10) + `"}}]}`, 100, "a"},
		"long text first":  {`{"data":[{"id":"b","data":{"t":"` + strings.Repeat("x", 65<<10) + `"}}]}`, 100, "-"},
		"long text alone":  {`{"data":[{"id":"b","data":{"t":"` + strings.Repeat("x", 65<<10) + `"}}]}`, 1, "b!"},
		"not JSON":         {head + `{"id":"b","data":{"x":bad}}]}`, 100, "a"},
		"not JSON alone":   {`{"data":[{"id":"b","data":{"x":bad}}]}`, 1, "b!"},
		"no id seen":       {head + `{"data":{"x":bad},"id":"b"}]}`, 100, "a"},
		"no id seen alone": {`{"data":[{"data":{"x":bad},"id":"b"}]}`, 1, "b!"},
		"another's id":     {`{"data":[[{"x":bad}],{"id":"b"}]}`, 1, "-"},
		"id elsewhere":     {`{"more":{"data":[{"id":"c"}]},"data":[{"data":[{"id":"a","x":bad}],"idx":"d"}],"id":"e"}`, 1, "-"},
		"no id at all":     {`{"data":[{"id":7,"type":"x","data":{"x":bad}}]}`, 1, "-"},
		"cut short":        {head + `{"id":"b","data":{"lo`, 100, "-"},
		"cut short alone":  {`{"data":[{"id":"b","data":{"lo`, 1, "-"},
	}
	for name, test := range tests {
		r, err := decodePage([]byte(test.body), "")
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		got := "-"
		if p, ok := r.salvage(err, test.limit); ok {
			var ids []string
			for _, e := range p.items {
				id := e.id
				if e.event.Bad {
					id += "!"
				}
				ids = append(ids, id)
			}
			got = strings.Join(ids, " ")
		}
		if got != test.ids {
			t.Errorf("%s: got %q, want %q (%v)", name, got, test.ids, err)
		}
	}
}

// TestNameless reads a list with elements that have no id in pages of every size: each keeps its name.
func TestNameless(t *testing.T) {
	body := `{"data":[null,null,{"id":"a","data":{}},null,{"data":{"loss":1}},null,{"id":"b","data":{}},null]}`
	r, err := decodePage([]byte(body), "")
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string]bool{}
	names := &nameless{}
	for i := range r.page.items {
		whole[names.id(&r.page.items[i])] = true
	}
	if len(whole) != 8 {
		t.Errorf("%d names for 8 elements", len(whole))
	}
	after := newPass("a")
	after.add(r.page.from(3))
	for _, e := range after.events {
		if !whole[e.event.ID] {
			t.Errorf("%s has another name when read after a bookmark", e.event.ID)
		}
	}
}

func FuzzPage(f *testing.F) {
	// Seeds are short: the fuzzer spends its time on making long ones shorter.
	for _, item := range []string{
		`null`, `7`, `{"id":"a","type":"training_started","data":{"num_sequences":3}}`, `{"id":"a","type":"training_failed","data":"x"}`,
		`{"data":{"policy_loss":null,"loss":NaN,"a":{"b":[1],"c":"5"}},"type":"gradient_step","id":"a"}`,
		`{"id":"a","type":"training_failed","data":{"error_message":{"x":1}}}`, `{"type":"x"}`,
		`{"id":"a","type":"gradient_step","data":{"a":{"a":{}},"a/a":1,"step_seconds":1e999}}`,
	} {
		f.Add([]byte(`{"data":[` + item + `]}`))
	}
	f.Add([]byte(`{"has_more":false,"data":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodePage(body, "step_seconds")
		p := &r.page
		if err != nil {
			var ok bool
			if p, ok = r.salvage(err, 1); !ok {
				return
			}
		}
		again, err2 := decodePage(body, "step_seconds")
		if (err == nil) != (err2 == nil) || err == nil && describe(&again.page) != describe(&r.page) {
			t.Fatal("the same page reads differently")
		}
		for i := range p.items {
			checkItem(t, &p.items[i])
		}
	})
}

func checkItem(t *testing.T, e *item) {
	t.Helper()
	if e.id == "" && !e.event.Bad || len(e.id) > maxID {
		t.Fatalf("an event with id %q counts", e.id)
	}
	if len(e.event.Readings) > maxNumbers || len(e.event.Message) > maxText || e.event.Limit < 0 || e.event.Duration < 0 {
		t.Fatalf("beyond the bounds: %+v", e.event)
	}
	for i, r := range e.event.Readings {
		if i > 0 && compareReadings(e.event.Readings[i-1], r) >= 0 {
			t.Fatal("readings are not in order, or double")
		}
		if len(r.Label) > 4*maxKey || r.Metric == collector.FreeForm && r.Label == "" {
			t.Fatalf("label %q", r.Label)
		}
	}
}

func TestNormalise(t *testing.T) {
	for old, today := range map[string]string{
		"policy_loss": "loss/train", "loss": "loss/train", "entropy": "loss/entropy", "kl_div": "loss/kl_div", "grad_norm": "loss/grad_norm",
		"kl_policy_ref": "loss/kl_policy_ref", "learning_rate": "loss/learning_rate", "reward": "reward",
		"num_groups_submitted": "data/step_num_groups_submitted", "num_groups_trainable": "data/step_num_groups_trainable",
		"num_trajectories": "data/step_num_trajectories", "num_datums": "data/step_num_datums",
		"num_trainable_tokens": "data/step_trainer_tokens", "train_tokens": "data/step_trainer_tokens",
		"group_metric_x": "group_x", "unknown": "unknown", "a/loss": "a/loss", "val/reward": "val/reward", "": "",
	} {
		if got := normalise(old); got != today {
			t.Errorf("%q becomes %q, want %q", old, got, today)
		}
	}
}

func FuzzNormalise(f *testing.F) {
	for _, key := range []string{"loss", "policy_loss", "group_metric_", "group_metric_group_metric_a", "a/b"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		today := normalise(key)
		if strings.Contains(today, "/") && normalise(today) != today {
			t.Errorf("%q is renamed twice: %q", key, today)
		}
		if m, label := metricOf(today); m == collector.FreeForm && label != today {
			t.Errorf("%q is called %q", key, label)
		}
	})
}

// FuzzTargets reads discovery files.
func FuzzTargets(f *testing.F) {
	f.Add("a.json", []byte(`[{"targets":["a","b"],"labels":{"name":"x","training_group":"g","__meta_x":"y"}}]`))
	f.Add("a.yaml", []byte("- targets: [a, b]\n  labels: {name: x, url: 'javascript:alert(1)'}\n"))
	f.Add("a.yml", []byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, name string, body []byte) {
		got, err := parseTargets(name, body)
		if err != nil {
			return
		}
		for _, target := range got.list {
			if checkID(target.id) != nil || target.info.Provider != provider || len(target.info.Name) > maxText {
				t.Fatalf("target %+v", target)
			}
			if u := target.info.URL; u != "" && !strings.HasPrefix(strings.ToLower(u), "http") {
				t.Fatalf("url %q", u)
			}
		}
	})
}
