package collector

import (
	"encoding/base64"
	"slices"
	"strings"
)

// minSecretBytes: shorter values are not looked for in texts.
const minSecretBytes = 4

// Redact takes secrets out of a text of somebody whom they were sent to: many quote what they refuse. A text that was cut may end within
// one.
func Redact(text string, secrets []string) string {
	const instead = "<secret>"
	longest := slices.SortedFunc(slices.Values(secrets), func(a, b string) int { return len(b) - len(a) }) // one may begin with another
	for _, s := range longest {
		if len(s) < minSecretBytes {
			continue
		}
		text = strings.ReplaceAll(text, s, instead)
		for n := len(s) - 1; n >= minSecretBytes; n-- {
			if rest, cut := strings.CutSuffix(text, s[:n]); cut {
				text = rest + instead
				break
			}
		}
	}
	return text
}

// SecretsOf are the value of a header, such as Authorization, whole and in the parts that may be quoted.
func SecretsOf(header string) []string {
	scheme, key, _ := strings.Cut(header, " ")
	secrets := []string{header, key}
	if strings.EqualFold(scheme, "Basic") {
		plain, _ := base64.StdEncoding.DecodeString(key)
		_, password, _ := strings.Cut(string(plain), ":")
		secrets = append(secrets, string(plain), password)
	}
	return secrets
}
