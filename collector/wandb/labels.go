package wandb

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trainbridge/trainbridge/collector"
)

// provider is what jobs of this source carry as training_provider.
const provider = "wandb"

// maxID bounds a job id, in bytes. The service makes UUIDs of 36.
const maxID = 256

// checkID says why an id cannot stand in a request's path. The path schema of the API is any string; what is refused
// here could leave the job's path or hide in a log.
func checkID(id string) error {
	switch {
	case id == "":
		return errors.New("required")
	case len(id) > maxID:
		return fmt.Errorf("longer than %d bytes", maxID)
	case id == "." || id == "..":
		return fmt.Errorf("%q is a path, not a job id", id)
	case !utf8.ValidString(id):
		return errors.New("not valid UTF-8")
	}
	for _, r := range id {
		if r == '/' || r == '\\' || r == '%' || r == ' ' || !unicode.IsPrint(r) {
			return fmt.Errorf("holds %q, which no job id has", r)
		}
	}
	return nil
}

// infoField is the field that a label of discovery fills, or nil. Both the short names of the configuration file and the
// names that the series carry are taken.
func infoField(i *collector.Info, label string) *string {
	switch label {
	case "name", "training_job_name":
		return &i.Name
	case "project", "training_project":
		return &i.Project
	case "group", "training_group":
		return &i.Group
	case "owner", "training_owner":
		return &i.Owner
	case "framework", "training_framework":
		return &i.Framework
	case "base_model", "training_base_model":
		return &i.BaseModel
	case "kind", "training_job_kind":
		return &i.Kind
	case "url", "training_job_url":
		return &i.URL
	case "budget", "training_job_budget":
		return &i.Budget
	}
	return nil
}

// infoOf reads the labels of a discovery target, and names those it did not take as fields to count.
func infoOf(labels map[string]string) (info collector.Info, unknown []string) {
	info.Provider = provider
	for label, value := range labels {
		field := infoField(&info, label)
		switch {
		case field == nil:
			unknown = append(unknown, "discovery.label")
		case field == &info.URL && !webURL(value):
			unknown = append(unknown, "discovery.url")
		case *field == "" || !strings.HasPrefix(label, "training_"):
			*field = clip(value, maxText)
		}
	}
	slices.Sort(unknown)
	return info, unknown
}

// webURL reports whether a link may be shown to a person: other schemes can carry scripts.
func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// fill returns i with fields that it lacks taken from o.
func fill(i, o collector.Info) collector.Info {
	for _, f := range []struct{ to, from *string }{
		{&i.Name, &o.Name}, {&i.Provider, &o.Provider}, {&i.Project, &o.Project}, {&i.Group, &o.Group}, {&i.Owner, &o.Owner},
		{&i.Framework, &o.Framework}, {&i.BaseModel, &o.BaseModel}, {&i.Kind, &o.Kind}, {&i.URL, &o.URL}, {&i.Budget, &o.Budget},
	} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	return i
}

// maxText bounds free text that is kept from an answer, in bytes; the core cuts it further for exposition.
const maxText = 4096

// clip cuts s at n bytes without splitting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
