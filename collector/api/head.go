package api

import "io"

// head keeps how a document begins while it is read.
type head struct {
	src  io.Reader
	seen []byte
}

const maxHead = 2 << 10

func (h *head) reset(src io.Reader) { h.src, h.seen = src, h.seen[:0] }

// Read implements [io.Reader].
func (h *head) Read(p []byte) (int, error) {
	n, err := h.src.Read(p)
	if left := min(maxHead-len(h.seen), n); left > 0 {
		h.seen = append(h.seen, p[:left]...)
	}
	return n, err
}
