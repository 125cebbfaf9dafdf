package assign

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxIDBytes bounds the id of a job.
const maxIDBytes = 128

// isJobID reports whether s can be the id of a job.
func isJobID(s string) bool {
	if s == "" || len(s) > maxIDBytes || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// isIndex reports whether s is a GPU's index as the driver writes it: digits without leading zeros.
func isIndex(s string) bool {
	if s == "" || len(s) > 4 || s[0] == '0' && s != "0" {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// isUUID reports whether s looks like the UUID of a GPU or MIG instance.
func isUUID(s string) bool {
	rest, ok := strings.CutPrefix(s, "GPU-")
	if !ok {
		rest, ok = strings.CutPrefix(s, "MIG-")
	}
	if !ok || rest == "" || len(s) > maxIDBytes {
		return false
	}
	return strings.Trim(rest, "0123456789abcdefABCDEF-GPU/") == ""
}
