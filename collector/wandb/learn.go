package wandb

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"github.com/trainbridge/trainbridge/collector"
)

// watched says which answers teach something.
type watched uint8

const (
	notWatched watched = iota
	modelPosted
	rlPosted
	sftPosted
)

// kindOf recognises the three requests that make something. Both kinds of job share one space of ids and one events route.
func kindOf(r *http.Request) watched {
	if r.Method != http.MethodPost {
		return notWatched
	}
	path := "/" + strings.TrimSuffix(r.URL.Path, "/")
	switch {
	case strings.HasSuffix(path, "/preview/models"):
		return modelPosted
	case strings.HasSuffix(path, "/preview/training-jobs"):
		return rlPosted
	case strings.HasSuffix(path, "/preview/sft-training-jobs"):
		return sftPosted
	}
	return notWatched
}

func (w watched) String() string { return [...]string{"", "", "rl", "sft"}[w] }

// learn reads the copy of an answer. It returns at once: registering goes on beside the stream.
func (p *Proxy) learn(rec *recording, encoding string, answer []byte) {
	fields := topStrings(unpack(encoding, answer))
	id := fields["id"]
	if rec.kind == modelPosted {
		if id != "" && len(id) <= maxID {
			p.models.put(id, modelInfo(id, fields))
		}
		return
	}
	if err := checkID(id); err != nil {
		p.failed.Add(1)
		p.log.Warn("A trainer created a job, but the answer holds no id that can be used", "kind", rec.kind.String(), "reason", err)
		return
	}
	modelID := cmp.Or(rec.model.value(modelKey), fields["model_id"])
	reg := collector.Registration{
		Key: collector.Key{Source: p.source, ID: id}, Info: p.models.info(modelID), Fresh: true,
	}
	reg.Info.Kind = rec.kind.String()
	select {
	case p.slots <- struct{}{}:
		p.waiting.Go(func() { p.tell(reg) })
	default:
		p.unregistered(reg, "too many jobs are waiting to be registered")
	}
}

func (p *Proxy) tell(reg collector.Registration) {
	defer func() { <-p.slots }()
	ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
	defer cancel()
	if err := p.register(ctx, reg); err != nil {
		p.unregistered(reg, err.Error())
		return
	}
	p.log.Debug("A trainer created a job", "job", reg.Key.ID, "kind", reg.Info.Kind, "group", reg.Info.Group)
}

func (p *Proxy) unregistered(reg collector.Registration, reason string) {
	p.failed.Add(1)
	p.log.Error("A job that a trainer created could not be registered: it is not watched", "job", reg.Key.ID, "reason", reason)
}

// unpack undoes compression of a copy, which may be cut short. What cannot be undone gives nothing.
func unpack(encoding string, body []byte) []byte {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil
		}
		out, _ := io.ReadAll(io.LimitReader(z, maxCopy)) // the beginning is all that is wanted
		return out
	}
	return nil
}

// topStrings reads the strings at the top of a JSON object, as far as it goes.
func topStrings(body []byte) map[string]string {
	out := map[string]string{}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return out
	}
	for {
		key, err := d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return out
		}
		value, err := d.Token()
		if err != nil {
			return out
		}
		switch v := value.(type) {
		case string:
			out[name] = v
		case json.Delim:
			if !skip(d) {
				return out
			}
		}
	}
}

// skip reads to the end of an object or array that was begun.
func skip(d *json.Decoder) bool {
	for depth := 1; depth > 0; {
		t, err := d.Token()
		if err != nil {
			return false
		}
		if delim, ok := t.(json.Delim); ok {
			if delim == '{' || delim == '[' {
				depth++
			} else {
				depth--
			}
		}
	}
	return true
}
