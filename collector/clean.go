package collector

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxRunes bounds every free text that is exposed.
const maxRunes = 128

// Clean makes free text from outside safe to expose: invalid UTF-8 replaced, control and text-direction characters dropped,
// cut at 128 runes.
func Clean(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			continue
		}
		if n++; n > maxRunes {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isPlain(s string) bool {
	if len(s) > maxRunes {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
