package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/trainbridge/trainbridge/collector"
)

// JobsOptions are what the jobs API works with.
type JobsOptions struct {
	// Register makes a job known, durably, before it returns.
	Register func(context.Context, collector.Registration) error
	// Takes reports whether a source is known and whether jobs can be registered with it.
	Takes func(source string) (known, takes bool)
	Log   *slog.Logger // required
}

// Bounds of one request.
const (
	maxBody     = 1 << 20
	maxJobs     = 1000
	maxText     = 256 // bytes of each field but url
	maxURL      = 2048
	registering = 64 // at once, so that one commit takes many
)

// JobsOff answers in place of the jobs API where it is not enabled.
func JobsOff() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, outcome{Error: "the jobs API is off; write api: {jobs: true} into the configuration to turn it on"})
	})
}

// Jobs is the jobs API; see the package comment.
func Jobs(o JobsOptions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			answer(w, http.StatusMethodNotAllowed, outcome{Error: "use POST"})
			return
		}
		jobs, refused := o.read(w, r)
		if refused != nil {
			answer(w, refused.status, outcome{Error: refused.text})
			return
		}
		status, out := o.register(r.Context(), jobs)
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "5")
		}
		answer(w, status, out)
	})
}

// job is what a caller says about one job.
type job struct {
	Source    string `json:"source"`
	ID        string `json:"id"`
	Name      string `json:"name"`
	Group     string `json:"group"`
	Project   string `json:"project"`
	Owner     string `json:"owner"`
	BaseModel string `json:"base_model"`
	Kind      string `json:"kind"`
	URL       string `json:"url"`
	Budget    string `json:"budget"` // "500 USD", "500" in the currency of the source, or "none"
	Fresh     bool   `json:"fresh"`
}

// refusal is why nothing of a request is done.
type refusal struct {
	status int
	text   string
}

// outcome is the body of every answer.
type outcome struct {
	Registered int      `json:"registered"`
	Error      string   `json:"error,omitempty"`
	Failed     []failed `json:"failed,omitempty"`
}

type failed struct {
	Source string `json:"source"`
	ID     string `json:"id"`
	Error  string `json:"error"`
}

func (o *JobsOptions) read(w http.ResponseWriter, r *http.Request) ([]job, *refusal) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, &refusal{http.StatusUnsupportedMediaType, "send the header Content-Type: application/json, as curl --json does"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "the body could not be read to its end"}
	}
	jobs, many, err := parse(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, err.Error()}
	}
	for i, j := range jobs {
		if why := o.check(j); why != nil {
			if many {
				why.text = fmt.Sprintf("[%d].%s", i, why.text)
			}
			return nil, why
		}
	}
	return jobs, nil
}

// parse reads one job or a list of them.
func parse(body []byte) (jobs []job, many bool, err error) {
	strict := json.RejectUnknownMembers(true)
	if many = bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")); many {
		err = json.Unmarshal(body, &jobs, strict)
	} else {
		jobs = make([]job, 1)
		err = json.Unmarshal(body, &jobs[0], strict)
	}
	switch {
	case err != nil:
		return nil, many, fmt.Errorf("the body is not a job or a list of jobs: %s", collector.Clean(strings.TrimPrefix(err.Error(), "json: ")))
	case len(jobs) == 0:
		return nil, many, errors.New("the list is empty")
	case len(jobs) > maxJobs:
		return nil, many, fmt.Errorf("%d jobs in one request; at most %d", len(jobs), maxJobs)
	}
	return jobs, many, nil
}

func (o *JobsOptions) check(j job) *refusal {
	if err := j.check(); err != nil {
		return &refusal{http.StatusBadRequest, err.Error()}
	}
	known, takes := o.Takes(j.Source)
	switch {
	case !known:
		return &refusal{http.StatusNotFound, fmt.Sprintf("source: %q is not configured", collector.Clean(j.Source))}
	case !takes:
		return &refusal{http.StatusUnprocessableEntity, fmt.Sprintf("source: %q finds its jobs by itself; jobs cannot be registered with it", j.Source)}
	}
	return nil
}

func (j job) check() error {
	if j.Source == "" {
		return errors.New("source: required")
	}
	if err := checkID(j.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	for _, f := range []struct{ name, value string }{
		{"name", j.Name}, {"group", j.Group}, {"project", j.Project}, {"owner", j.Owner}, {"base_model", j.BaseModel}, {"kind", j.Kind},
		{"budget", j.Budget},
	} {
		if len(f.value) > maxText {
			return fmt.Errorf("%s: longer than %d bytes", f.name, maxText)
		}
	}
	if _, err := collector.ParseBudget(j.Budget); err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	if j.URL == "" {
		return nil
	}
	u, err := url.Parse(j.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(j.URL) > maxURL {
		return fmt.Errorf("url: must be an http or https address without a password, of at most %d bytes", maxURL)
	}
	return nil
}

// checkID refuses what could leave the job's path in a request to the source, or hide in a log.
func checkID(id string) error {
	switch {
	case id == "":
		return errors.New("required")
	case len(id) > maxText:
		return fmt.Errorf("longer than %d bytes", maxText)
	case id == "." || id == "..":
		return errors.New("is a path, not a job id")
	case !utf8.ValidString(id):
		return errors.New("not valid UTF-8")
	}
	for _, r := range id {
		if strings.ContainsRune(`/\%?# `, r) || !unicode.IsPrint(r) {
			return fmt.Errorf("holds %q, which no job id has", r)
		}
	}
	return nil
}

func (j job) registration() collector.Registration {
	return collector.Registration{
		Key: collector.Key{Source: j.Source, ID: j.ID}, Fresh: j.Fresh,
		Info: collector.Info{
			Name: j.Name, Group: j.Group, Project: j.Project, Owner: j.Owner, BaseModel: j.BaseModel, Kind: j.Kind, URL: j.URL, Budget: j.Budget,
		},
	}
}

// register registers jobs side by side and says how it went.
func (o *JobsOptions) register(ctx context.Context, jobs []job) (int, outcome) {
	errs := make([]error, len(jobs))
	slots := make(chan struct{}, registering)
	var wg sync.WaitGroup
	for i, j := range jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = o.Register(ctx, j.registration())
		})
	}
	wg.Wait()
	out, status := outcome{}, http.StatusOK
	for i, err := range errs {
		switch {
		case err == nil:
			out.Registered++
			continue
		case errors.Is(err, collector.ErrRetired):
			status = max(status, http.StatusConflict)
			out.fail(jobs[i], collector.ErrRetired.Error())
		default:
			status = http.StatusServiceUnavailable
			out.fail(jobs[i], "could not be stored; try again")
			o.Log.Warn("a job could not be registered", "job", jobs[i].ID, "err", err)
		}
	}
	if len(out.Failed) > 0 {
		out.Error = fmt.Sprintf("%d of %d jobs were not registered", len(out.Failed), len(jobs))
	}
	return status, out
}

func (o *outcome) fail(j job, why string) {
	o.Failed = append(o.Failed, failed{Source: j.Source, ID: j.ID, Error: why})
}

func answer(w http.ResponseWriter, status int, o outcome) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	body, err := json.Marshal(o)
	if err != nil { // texts that are not UTF-8 were refused before
		status, body = http.StatusInternalServerError, []byte(`{"registered":0,"error":"the answer could not be written"}`)
	}
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
