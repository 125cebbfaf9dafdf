package collector

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRunes bounds every free text that is exposed; maxWords what is for the log and the page only.
const (
	maxRunes = 128
	maxWords = 512
)

// Clean makes free text from outside safe to expose: invalid UTF-8 replaced, control and text-direction characters dropped,
// cut at 128 runes.
func Clean(s string) string { return clean(s, maxRunes) }

// CleanWords is Clean for the words of an error that a person is to read: it cuts at 512 runes.
func CleanWords(s string) string { return clean(s, maxWords) }

func clean(s string, most int) string {
	if isPlain(s, most) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			continue
		}
		if n++; n > most {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isPlain(s string, most int) bool {
	if len(s) > most {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
