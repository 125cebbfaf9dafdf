package collector

import "strconv"

// dcgmXID is the newest XID as a value. Its codes and texts are labels too, as dcgm-exporter has them since 3.3.
func dcgmXID(name string, renamed bool) dcgmRow {
	return dcgmRow{
		Name: name, Prom: promName(name, "", Gauge), Kind: Gauge, Labels: []string{"err_code", "err_msg"},
		Help: "The newest XID error that the bridge observed; 0 if it observed none, which is not the same as none having happened before it started.",
		read: func(v *DCGMView, to *Points) {
			if v.Renamed != renamed {
				return
			}
			code, ok := v.newestXID()
			if !ok && !v.Up {
				return
			}
			to.Add(float64(code), strconv.FormatUint(code, 10), xidText(code))
		},
	}
}

// newestXID is the code of the XID that was observed last; those of a MIG instance are its GPU's.
func (v *DCGMView) newestXID() (code uint64, known bool) {
	seen := v.of(DeviceXIDLast)
	if v.Parent != nil {
		seen = v.Parent.of(DeviceXIDLast)
	}
	last := 0.0
	for _, x := range seen {
		n, err := strconv.ParseUint(x.Label, 10, 32)
		if err == nil && x.Value >= last {
			code, last, known = n, x.Value, true
		}
	}
	return code, known
}

// xidText says what an XID means, for those that a training job is likely to meet.
func xidText(code uint64) string {
	switch code {
	case 0:
		return "No Error"
	case 13:
		return "Graphics engine exception"
	case 31:
		return "GPU memory page fault"
	case 43:
		return "GPU stopped processing"
	case 45:
		return "Preemptive cleanup after earlier errors"
	case 48:
		return "Double-bit ECC error"
	case 61, 62:
		return "Internal microcontroller halted"
	case 63:
		return "Page retirement or row remapping recorded"
	case 64:
		return "Page retirement or row remapping failed"
	case 74, 144, 145, 146, 147, 148, 149, 150:
		return "NVLink error"
	case 79:
		return "GPU has fallen off the bus"
	case 92:
		return "High rate of single-bit ECC errors"
	case 94:
		return "Contained ECC error"
	case 95:
		return "Uncontained ECC error"
	case 109:
		return "Context switch timeout"
	case 119, 120:
		return "GSP firmware error"
	case 140:
		return "Unrecovered ECC error"
	case 154:
		return "GPU recovery action changed"
	default:
		return "Unknown Error"
	}
}
