package collector

import (
	"strings"
	"testing"
)

// TestRedact: a secret goes whatever part of its header is quoted, and where the text was cut within it; the rest of the text stays.
func TestRedact(t *testing.T) {
	long := "eyJhbGciOi" + strings.Repeat("Zm9v", 100)
	for _, c := range []struct{ header, text, want string }{
		{"Bearer canary", "refused: Bearer canary", "refused: <secret>"},
		{"Bearer canary", "no key canary here", "no key <secret> here"},
		{"Bearer canary", "no such canar", "no such <secret>"},
		{"Bearer canary", "no such can", "no such can"}, // three bytes tell nothing
		{"Basic dXNlcjpoZWlkaTEyMw==", "user:heidi123 or heidi123 or dXNlcjpoZWlkaTEyMw==", "<secret> or <secret> or <secret>"},
		{"Bearer " + long, Clean("401: token " + long + " is not known"), "401: token <secret>"},
		{"Bearer " + long, Clean("401: Bearer " + long), "401: <secret>"},
		{"abc", "abc stays, it may be a word", "abc stays, it may be a word"},
		{"canary canary-and-more", "canary canary-and-more, canary-and-more", "<secret>, <secret>"},
		{"", "nothing was sent", "nothing was sent"},
	} {
		if got := Redact(c.text, SecretsOf(c.header)); got != c.want {
			t.Errorf("%q without %q is %q, want %q", c.text, c.header, got, c.want)
		}
	}
}
