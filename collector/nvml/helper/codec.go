package helper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
	"github.com/trainbridge/trainbridge/collector"
)

// MaxFrame is the largest frame, in bytes.
const MaxFrame = 4 << 20

// errTooLarge is a frame beyond MaxFrame.
var errTooLarge = errors.New("a frame is larger than 4 MiB")

// WriteOptions writes the first frame of a helper's stdin.
func WriteOptions(w io.Writer, o Options) error { return write(w, &o) }

// ReadOptions reads it.
func ReadOptions(r io.Reader) (Options, error) {
	var o Options
	if err := read(r, &o); err != nil {
		return Options{}, fmt.Errorf("read the options on stdin, which trainbridge writes there: %w", err)
	}
	if o.Interval <= 0 || o.Slow <= 0 {
		return Options{}, errors.New("read the options on stdin: there is no interval")
	}
	return o, nil
}

// WriteFrame writes a frame. One that is too large goes out without values of processes, and if that does not help without any.
func WriteFrame(w io.Writer, f *Frame) error {
	err := write(w, f)
	for _, keep := range []func(collector.GPUMetric) bool{notOfProcess, nothing} {
		if !errors.Is(err, errTooLarge) {
			break
		}
		err = write(w, thinned(f, keep))
	}
	return err
}

// ReadFrame reads a frame. The error is io.EOF or wraps io.ErrUnexpectedEOF if and only if the pipe has ended. What it returns is within the bounds of this package; its strings are still foreign.
func ReadFrame(r io.Reader) (*Frame, error) {
	f := new(Frame)
	if err := read(r, f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Frame) check() error {
	switch {
	case len(f.GPUs) > MaxGPUs*(1+MaxInstances):
		return fmt.Errorf("a frame has %d GPUs", len(f.GPUs))
	case len(f.XIDs) > MaxXIDs:
		return fmt.Errorf("a frame has %d XIDs", len(f.XIDs))
	case len(f.Calls) > maxCosts:
		return fmt.Errorf("a frame has %d kinds of calls", len(f.Calls))
	case f.Init < 0:
		return errors.New("a frame has an initialisation that ended before it began")
	}
	for i := range f.GPUs {
		g := &f.GPUs[i]
		if len(g.Values) > MaxValues || len(g.PIDs) > MaxPIDs || g.State >= states || g.Age < 0 {
			return fmt.Errorf("GPU %d of a frame is out of bounds", i)
		}
	}
	for i := range f.Calls {
		if len(f.Calls[i].Errors) > maxErrorCodes+1 {
			return fmt.Errorf("a frame has %d codes of errors", len(f.Calls[i].Errors))
		}
	}
	return nil
}

func write(w io.Writer, v any) error {
	body, err := cbor.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	if len(body) > MaxFrame {
		return errTooLarge
	}
	buf := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	if _, err := w.Write(append(buf, body...)); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}

func read(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err // a clean end is io.EOF
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 {
		return errors.New("a frame is empty")
	}
	if n > MaxFrame {
		return fmt.Errorf("%w, or is none: it begins with %q", errTooLarge, head[:])
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return fmt.Errorf("a frame ends early: %w", io.ErrUnexpectedEOF)
	}
	if err := decoder().Unmarshal(body, v); err != nil {
		return errors.New("decode a frame: " + err.Error()) // not wrapped: it is no end of the pipe
	}
	return nil
}

// decoder is strict: both ends are the same program.
func decoder() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   8,
		MaxArrayElements:  MaxValues,
		MaxMapPairs:       32,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}

func notOfProcess(m collector.GPUMetric) bool {
	return m != collector.ProcessMemoryUsage && m != collector.ProcessUtilization
}

func nothing(collector.GPUMetric) bool { return false }

// thinned is f with only the values of some metrics.
func thinned(f *Frame, keep func(collector.GPUMetric) bool) *Frame {
	out := *f
	out.GPUs = make([]GPU, len(f.GPUs))
	for i, g := range f.GPUs {
		g.Values, g.PIDs = nil, nil
		for _, v := range f.GPUs[i].Values {
			if keep(v.Metric) {
				g.Values = append(g.Values, v)
			}
		}
		out.GPUs[i] = g
	}
	return &out
}
