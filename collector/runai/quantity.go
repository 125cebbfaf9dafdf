package runai

import (
	"math"
	"strconv"
	"strings"

	"github.com/trainbridge/trainbridge/collector/api"
)

// parseQuantity reads an amount as Kubernetes writes them: 1.5, 500m, 64Gi, 1e3, 12E. A B at the end, which the API's own example
// has, means nothing.
func parseQuantity(s string) (float64, bool) {
	s = strings.TrimSuffix(strings.TrimSpace(s), "B")
	if s == "" || len(s) > 64 {
		return 0, false
	}
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && !strings.ContainsRune("+-.", r) })
	factor := 1.0
	if end >= 0 {
		exponent, binary := unitOf(s[end:])
		switch {
		case binary > 0:
			s, factor = s[:end], binary
		case exponent != "":
			s = s[:end] + exponent
		case s[end] != 'e' && s[end] != 'E' || strings.ContainsAny(s, "xXpP_"):
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	f *= factor
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// unitOf is what a suffix stands for: a power of ten, or of 1024. K is none of Kubernetes', but the API's pattern has it.
func unitOf(suffix string) (exponent string, binary float64) {
	switch suffix {
	case "n":
		return "e-9", 0
	case "u":
		return "e-6", 0
	case "m":
		return "e-3", 0
	case "k":
		return "e3", 0
	}
	i := strings.IndexByte("KMGTPE", suffix[0])
	switch {
	case i < 0:
		return "", 0
	case len(suffix) == 1:
		return "e" + strconv.Itoa(3*(i+1)), 0
	case suffix[1:] == "i":
		return "", math.Pow(1024, float64(i+1))
	}
	return "", 0
}

// quantityIn is the amount in a value: a number, or a quantity in a string. null says that there is none.
func quantityIn(v api.Value) (f float64, ok, null bool) {
	switch v.Kind {
	case api.Null:
		return 0, false, true
	case api.Number:
		f, ok, _ = v.Float()
		return f, ok && !math.IsInf(f, 0), false
	}
	if s, is := v.Text(); is {
		f, ok = parseQuantity(s)
	}
	return f, ok, false
}
