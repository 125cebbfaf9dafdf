package wandb

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzFinder holds the finder, given a body in two parts, against a whole parse.
func FuzzFinder(f *testing.F) {
	f.Add([]byte(`{"model_id":"m","x":1}`), 5)
	f.Add([]byte(`{"x":{"model_id":"no"},"y":["model_id"],"model_id":"m\u0041"}`), 30)
	f.Add([]byte(`{"a":"model_id","model_id":null,"b":"\\\"model_id"}`), 12)
	f.Fuzz(func(t *testing.T, body []byte, at int) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(body, &fields) != nil || bytes.Count(body, []byte(modelKey)) > 1 || bytes.ContainsRune(body, '\\') {
			return
		}
		var want string
		if json.Unmarshal(fields[modelKey], &want) != nil || len(want) > maxID {
			want = ""
		}
		at = min(max(at, 0), len(body))
		found := finder{keys: []string{modelKey}}
		found.add(body[:at])
		found.add(body[at:])
		if got := found.value(modelKey); got != strings.ToValidUTF8(want, "\ufffd") && want != "" {
			t.Fatalf("found %q, want %q", got, want)
		}
	})
}
