package wandb

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkPage decodes a full page of gradient steps.
func BenchmarkPage(b *testing.B) {
	var items []string
	for i := range pageLimit {
		items = append(items, fmt.Sprintf(`{"id":"7d0f6e0a-4b1e-4a57-9b1c-%012d","type":"gradient_step","data":{"loss/train":0.%d,`+
			`"loss/grad_norm":0.83,"loss/entropy":0.51,"loss/learning_rate":5e-06}}`, i, i+1))
	}
	body := []byte(`{"object":"list","data":[` + strings.Join(items, ",") + `],"has_more":true}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if r, err := decodePage(body, ""); err != nil || len(r.page.items) != pageLimit {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*pageLimit)/b.Elapsed().Seconds(), "events/s")
}
