package tensorone

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

// report is what one answer, or one line of a listing, says about a job. Every part may be missing.
type report struct {
	id, status string
	info       collector.Info
	message    string // why it failed

	created, started, ended, updated collector.Time

	readings    []collector.Reading // null ones only where null may mean NaN
	remaining   time.Duration       // where told
	told        bool
	checkpoints []checkpoint
	bad         []collector.Event // checkpoints that could not be read
	listed      bool              // there was a list of checkpoints
	odd         []string          // names of fields that were not understood, each once
}

var errNoJob = errors.New("the answer is no job: it has no jobId")

// reader reads one report. Its methods read the next value of a document, whatever that is.
type reader struct {
	units    *Units
	r        *report
	currency string
	free     int // names of free-form numbers
}

// readReport reads a job object.
func readReport(d *api.Decoder, u *Units) (*report, error) {
	rd := &reader{units: u, r: &report{}}
	if err := d.Object(func(key string) error { return rd.member(d, key) }); err != nil {
		return nil, err
	}
	if rd.r.id == "" {
		return nil, errNoJob
	}
	rd.labelCosts()
	return rd.r, nil
}

func (rd *reader) member(d *api.Decoder, key string) error {
	r := rd.r
	switch key {
	case "jobId", "id":
		return rd.text(d, key, &r.id, maxID)
	case "name":
		return rd.text(d, key, &r.info.Name, maxText)
	case "status":
		return rd.text(d, key, &r.status, maxStatus)
	case "progress":
		return rd.object(d, key, rd.progress)
	case "metrics":
		return rd.object(d, key, rd.metric)
	case "resourceUsage":
		return rd.object(d, key, rd.resource)
	case "configuration", "config":
		return rd.object(d, key, rd.configuration)
	case "checkpoints":
		return rd.checkpoints(d)
	case "costs":
		return rd.object(d, key, rd.cost)
	case "timestamps":
		return rd.object(d, key, rd.timestamp)
	case "error":
		return rd.failure(d)
	case "errorMessage", "failureReason", "statusMessage":
		return rd.text(d, key, &r.message, maxText)
	}
	return rd.timestamp(d, key)
}

// maxStatus bounds the provider's word for the state, in bytes.
const maxStatus = 64

// strange notes a field that was not understood.
func (rd *reader) strange(field string) {
	if !slices.Contains(rd.r.odd, field) {
		rd.r.odd = append(rd.r.odd, field)
	}
}

// object reads the members of an object. null is nothing; anything else is strange.
func (rd *reader) object(d *api.Decoder, field string, member func(d *api.Decoder, key string) error) error {
	switch d.Kind() {
	case api.Object:
		return d.Object(func(key string) error { return member(d, key) })
	case api.Null, api.Invalid:
	default:
		rd.strange(field)
	}
	return d.Skip()
}

// text keeps a text. A number may stand for one. What comes before is kept where there is none.
func (rd *reader) text(d *api.Decoder, field string, to *string, limit int) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	s, ok := v.Text()
	if v.Kind == api.Number {
		s, ok = string(v.Raw), true
	}
	switch s = clip(strings.TrimSpace(s), limit); {
	case s != "":
		*to = s
	case !ok && v.Kind != api.Null:
		rd.strange(field)
	}
	return nil
}

// set keeps a reading, the last where there are several.
func (rd *reader) set(m collector.Metric, label string, value float64) {
	rd.keep(collector.Reading{Metric: m, Label: label, Value: value})
}

func (rd *reader) keep(r collector.Reading) {
	i := slices.IndexFunc(rd.r.readings, func(o collector.Reading) bool { return o.Metric == r.Metric && o.Label == r.Label })
	if i >= 0 {
		rd.r.readings[i] = r
		return
	}
	rd.r.readings = append(rd.r.readings, r)
}

// clear forgets the readings of a metric: a list that comes again replaces the one before.
func (rd *reader) clear(m collector.Metric) {
	rd.r.readings = slices.DeleteFunc(rd.r.readings, func(r collector.Reading) bool { return r.Metric == m })
}

// amount reads a finite number that is not negative. Nothing is no mistake.
func (rd *reader) amount(d *api.Decoder, field string) (f float64, ok bool, err error) {
	v, err := d.Value()
	if err != nil {
		return 0, false, err
	}
	f, ok, nothing := number(v)
	if ok = ok && f >= 0; !ok && !nothing {
		rd.strange(field)
	}
	return f, ok, nil
}

// plain reads an amount into a reading, multiplied.
func (rd *reader) plain(d *api.Decoder, field string, m collector.Metric, scale float64) error {
	f, ok, err := rd.amount(d, field)
	if ok {
		rd.set(m, "", f*scale)
	}
	return err
}

func (rd *reader) progress(d *api.Decoder, key string) error {
	switch field := "progress." + key; key {
	case "currentEpoch":
		return rd.plain(d, field, collector.Epoch, 1)
	case "totalEpochs":
		return rd.plain(d, field, collector.EpochLimit, 1)
	case "currentStep":
		return rd.plain(d, field, collector.Step, 1)
	case "totalSteps":
		return rd.plain(d, field, collector.StepLimit, 1)
	case "percentComplete":
		f, ok, err := rd.amount(d, field)
		if !ok {
			return err
		}
		if f, ok = share(f, rd.units.Progress); !ok {
			rd.strange(field)
			return err
		}
		rd.set(collector.Progress, "", f)
		return err
	case "estimatedTimeRemaining":
		return rd.estimate(d, field)
	}
	return nil
}

func (rd *reader) estimate(d *api.Decoder, field string) error {
	v, err := d.Value()
	if err != nil {
		return err
	}
	text, ok := v.Text()
	if v.Kind == api.Number {
		text, ok = string(v.Raw), true
	}
	rd.r.remaining, rd.r.told = parseDuration(text, timeUnits[rd.units.Durations])
	if !rd.r.told && !(ok && strings.TrimSpace(text) == "") && v.Kind != api.Null {
		rd.strange(field)
	}
	return nil
}

func (rd *reader) configuration(d *api.Decoder, key string) error {
	r := rd.r
	switch key {
	case "framework":
		return rd.text(d, "configuration.framework", &r.info.Framework, maxText)
	case "modelConfig":
		return rd.object(d, "configuration.modelConfig", func(d *api.Decoder, key string) error {
			switch key {
			case "modelType":
				return rd.text(d, "configuration.modelConfig.modelType", &r.info.Kind, maxText)
			case "baseModel":
				return rd.text(d, "configuration.modelConfig.baseModel", &r.info.BaseModel, maxText)
			}
			return nil
		})
	case "infrastructure":
		return rd.object(d, "configuration.infrastructure", func(d *api.Decoder, key string) error {
			switch key {
			case "gpuType":
				return rd.text(d, "configuration.infrastructure.gpuType", &r.info.GPUModel, maxText)
			case "gpuCount":
				return rd.plain(d, "configuration.infrastructure.gpuCount", collector.GPURequested, 1)
			}
			return nil
		})
	}
	return nil
}

// timestamp reads a moment. createdAt, startedAt and lastUpdated are documented; the others are guesses at the end's name, and that they
// may stand beside the job's other members.
func (rd *reader) timestamp(d *api.Decoder, key string) error {
	to := map[string]*collector.Time{
		"createdAt": &rd.r.created, "startedAt": &rd.r.started, "lastUpdated": &rd.r.updated, "updatedAt": &rd.r.updated,
		"completedAt": &rd.r.ended, "endedAt": &rd.r.ended, "finishedAt": &rd.r.ended, "failedAt": &rd.r.ended, "cancelledAt": &rd.r.ended,
	}[key]
	if to == nil {
		return nil
	}
	v, err := d.Value()
	if err != nil {
		return err
	}
	at, ok, nothing := parseTime(v)
	if ok {
		*to = at
	} else if !nothing {
		rd.strange("timestamps." + key)
	}
	return nil
}

// failure reads why a job failed, which is not documented: a text, or an object with one.
func (rd *reader) failure(d *api.Decoder) error {
	if d.Kind() != api.Object {
		return rd.text(d, "error", &rd.r.message, maxText)
	}
	return d.Object(func(key string) error {
		switch key {
		case "message", "detail", "reason":
			return rd.text(d, "error."+key, &rd.r.message, maxText)
		}
		return nil
	})
}
