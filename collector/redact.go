package collector

import (
	"encoding/base64"
	"strings"
)

// minSecretBytes: shorter values are not looked for in texts.
const minSecretBytes = 4

// Redact takes secrets out of a text of somebody whom they were sent to: many quote what they refuse.
func Redact(text string, secrets []string) string {
	for _, s := range secrets {
		if len(s) >= minSecretBytes {
			text = strings.ReplaceAll(text, s, "<secret>")
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
