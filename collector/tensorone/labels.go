package tensorone

import (
	"errors"
	"fmt"
	"net/url"
	"unicode"
	"unicode/utf8"

	"github.com/trainbridge/trainbridge/collector"
)

// maxID bounds a job id, in bytes.
const maxID = 256

// checkID says why an id cannot stand in a request's path. What is refused here could leave the job's path or hide in a log.
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

// infoOfLabels reads the labels of a discovery target: the names of the configuration, and those that the series carry. Others mean
// nothing here.
func infoOfLabels(labels map[string]string) collector.Info {
	i := collector.Info{Provider: provider}
	for _, f := range []struct {
		to    *string
		names [2]string
	}{
		{&i.Name, [2]string{"name", "training_job_name"}},
		{&i.Project, [2]string{"project", "training_project"}},
		{&i.Group, [2]string{"group", "training_group"}},
		{&i.Owner, [2]string{"owner", "training_owner"}},
		{&i.Framework, [2]string{"framework", "training_framework"}},
		{&i.BaseModel, [2]string{"base_model", "training_base_model"}},
		{&i.Kind, [2]string{"kind", "training_job_kind"}},
		{&i.URL, [2]string{"url", "training_job_url"}},
		{&i.Budget, [2]string{"budget", "training_job_budget"}},
	} {
		for _, name := range f.names {
			if v := labels[name]; *f.to == "" && (f.to != &i.URL || webURL(v)) {
				*f.to = clip(v, maxText)
			}
		}
	}
	return i
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
		{&i.Framework, &o.Framework}, {&i.BaseModel, &o.BaseModel}, {&i.Kind, &o.Kind}, {&i.GPUModel, &o.GPUModel}, {&i.URL, &o.URL}, {&i.Budget, &o.Budget},
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
