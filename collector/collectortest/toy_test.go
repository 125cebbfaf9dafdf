package collectortest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"github.com/trainbridge/trainbridge/collector"
	"github.com/trainbridge/trainbridge/collector/api"
)

const (
	toyKey  = "toy-key-31337-31337"
	toyPage = 50 // events
)

// toyService has jobs in pages of two and their events in pages of toyPage.
type toyService struct {
	tokens bool

	mu     sync.Mutex
	now    time.Duration
	given  map[string]time.Time // tokens, and until when they are good
	number int
	wrong  map[string]int
}

// toyJobs say when a job begins and how long it runs. A step takes ten seconds.
var toyJobs = []struct{ begins, runs time.Duration }{
	{-time.Hour, 100 * time.Hour}, {-time.Hour, 61 * time.Minute}, {0, time.Hour}, {5 * time.Minute, 10 * time.Minute}, {0, 30 * time.Minute},
}

const toyStep = 10 * time.Second

func newToyService(tokens bool) *toyService {
	return &toyService{tokens: tokens, given: map[string]time.Time{}, wrong: map[string]int{}}
}

func (s *toyService) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += d
}

// state is what a job is, with mu held.
func (s *toyService) state(i int) (phase string, events int) {
	j := toyJobs[i]
	age := s.now - j.begins
	events = int(min(age, j.runs)/toyStep) + 1
	if age >= j.runs {
		return "done", events
	}
	return "running", events
}

func (s *toyService) Truth() map[string]Truth {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Truth{}
	for i, j := range toyJobs {
		if s.now >= j.begins {
			phase, n := s.state(i)
			out["job-"+strconv.Itoa(i)] = Truth{Phase: toyPhases[phase], Events: n}
		}
	}
	return out
}

var toyPhases = map[string]collector.Phase{"running": collector.Running, "done": collector.Succeeded}

func (s *toyService) Violations() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

func (s *toyService) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.given)
}

func (s *toyService) TokenRequests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

func (s *toyService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/token" {
		s.giveToken(w, r)
		return
	}
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	good := key == toyKey
	if s.tokens {
		good = time.Now().Before(s.given[key])
	}
	var id string
	if n, _ := fmt.Sscanf(r.URL.Path, "/jobs/%s", &id); n == 1 {
		id = strings.TrimSuffix(strings.TrimPrefix(id, "job-"), "/events")
	}
	i, err := strconv.Atoi(id)
	switch {
	case !good:
		s.wrong["bad_auth"]++
		toyAnswer(w, http.StatusUnauthorized, map[string]any{"message": "who are you?"})
	case r.URL.Path == "/jobs":
		s.list(w, r)
	case err == nil && i < len(toyJobs):
		s.events(w, r, i)
	default:
		s.wrong["unknown_route"]++
		toyAnswer(w, http.StatusNotFound, map[string]any{"message": "no such thing"})
	}
}

func (s *toyService) giveToken(w http.ResponseWriter, r *http.Request) {
	s.number++
	var body struct{ Secret string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Secret != toyKey {
		s.wrong["token_refused"]++
		toyAnswer(w, http.StatusUnauthorized, map[string]any{"message": "no"})
		return
	}
	token := fmt.Sprintf("toy-token-%d-%x", s.number, s.number*7919)
	s.given[token] = time.Now().Add(time.Hour)
	toyAnswer(w, http.StatusOK, map[string]any{"token": token, "seconds": 3600})
}

func (s *toyService) list(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	all := []any{}
	for i, j := range toyJobs {
		if s.now >= j.begins {
			phase, _ := s.state(i)
			all = append(all, map[string]any{"id": "job-" + strconv.Itoa(i), "phase": phase})
		}
	}
	from = min(from, len(all))
	to := min(from+2, len(all))
	answer := map[string]any{"jobs": all[from:to], "offset": from}
	if to < len(all) {
		answer["next"] = to
	}
	toyAnswer(w, http.StatusOK, answer)
}

func (s *toyService) events(w http.ResponseWriter, r *http.Request, i int) {
	from, _ := strconv.Atoi(r.URL.Query().Get("after"))
	phase, n := s.state(i)
	list := []any{}
	for k := from; k < min(n, from+toyPage); k++ {
		list = append(list, map[string]any{"id": strconv.Itoa(k), "type": "step"})
	}
	toyAnswer(w, http.StatusOK, map[string]any{"after": from, "events": list, "more": from+toyPage < n, "phase": phase})
}

func toyAnswer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client has left
}

// toySource asks a toyService. It has at most one bug.
type toySource struct {
	bug    string
	base   *url.URL
	client *api.Client
	plain  *http.Client
	key    string
	nonce  int
}

func openToy(bug string, tokens bool) func(testing.TB, SubjectOptions) collector.Source {
	return func(t testing.TB, o SubjectOptions) collector.Source {
		base, err := url.Parse(o.Base)
		if err != nil {
			t.Fatal(err)
		}
		s := &toySource{bug: bug, base: base, key: toyKey, plain: &http.Client{Transport: &http.Transport{DialContext: o.Dial}}}
		if o.BadKey {
			s.key = "bad-key-0-0-0-0-0"
		}
		c := api.Config{Dial: o.Dial}
		c.HTTP.Authorization = &config.Authorization{Type: "Bearer", Credentials: config.Secret(s.key)}
		if tokens {
			c.HTTP.Authorization = nil
			token := api.Config{Dial: o.Dial}
			client, err := api.New(o.Env.Name, token, o.Env.Health, o.Env.Log)
			if err != nil {
				t.Fatal(err)
			}
			c.Signer = &toySigner{s: s, client: client, gate: make(chan struct{}, 1)}
		}
		if bug == "no limits" { // none that help
			c.MaxBodyBytes, c.MaxItems, c.MaxStringBytes = 20<<20, 1<<40, 1<<40
		}
		if s.client, err = api.New(o.Env.Name, c, o.Env.Health, o.Env.Log); err != nil {
			t.Fatal(err)
		}
		if bug == "logs the key" {
			o.Env.Log.Info("hello", "key", s.key)
		}
		return s
	}
}

func (s *toySource) Close() error {
	s.client.Close()
	s.plain.CloseIdleConnections()
	return nil
}

func (s *toySource) Probe(ctx context.Context) error {
	_, _, err := s.page(ctx, 0)
	if err != nil && s.bug == "helpless probe" {
		return &api.Error{Class: api.ClassOf(err), Operation: "list", Detail: "it does not work"}
	}
	return err
}

// ask asks and reads the whole answer.
func (s *toySource) ask(ctx context.Context, operation, path, query string, decode func(*api.Decoder) error) error {
	if s.bug == "ignores the context" {
		ctx = context.WithoutCancel(ctx)
	}
	u := s.base.JoinPath(path)
	u.RawQuery = query
	if s.bug == "own client" {
		return s.askPlainly(ctx, u, decode)
	}
	err := s.client.JSON(ctx, api.Request{Operation: operation, URL: u}, decode)
	for range 20 {
		if err != nil && s.bug == "asks again and again" {
			err = s.client.JSON(ctx, api.Request{Operation: operation, URL: u}, decode)
		}
	}
	switch {
	case err != nil && s.bug == "shows the key":
		return fmt.Errorf("with %s: %w", s.key, err)
	case err != nil && s.bug == "shows the query":
		return fmt.Errorf("%s: %w", u, err)
	case err != nil && s.bug == "no classes":
		return errors.New(err.Error())
	case err != nil && s.bug == "no operation":
		return &api.Error{Class: api.ClassOf(err), Detail: "oh no", Err: ctx.Err()}
	case err != nil && s.bug == "hides the context":
		return &api.Error{Class: api.ClassOf(err), Operation: operation}
	}
	return err
}

func (s *toySource) askPlainly(ctx context.Context, u *url.URL, decode func(*api.Decoder) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := s.plain.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 256<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %w", resp.StatusCode, err)
	}
	return api.Decode(bytes.NewReader(body), api.Limits{Bytes: 1 << 40, Items: 1 << 40, Depth: 63, StringBytes: 1 << 40}, decode)
}

func (s *toySource) page(ctx context.Context, offset int) (jobs []collector.Update, next int, err error) {
	complete := s.bug == "nothing is no jobs"
	err = s.ask(ctx, "list", "jobs", "offset="+strconv.Itoa(offset), func(d *api.Decoder) error {
		jobs, next = nil, 0
		err := d.Object(func(key string) error {
			switch key {
			case "jobs":
				complete = true
				return d.Array(func(int) error {
					u, err := toyJob(d)
					jobs = append(jobs, u)
					return err
				})
			case "offset":
				v, err := d.Value()
				if f, ok, _ := v.Float(); ok && int(f) != offset && s.bug != "believes any page" {
					return errors.New("another page than was asked for")
				}
				return err
			case "next":
				v, err := d.Value()
				f, _, _ := v.Float()
				next = int(f)
				return err
			}
			return nil
		})
		if err == nil && !complete {
			return errors.New("no list of jobs")
		}
		return err
	})
	return jobs, next, err
}

func toyJob(d *api.Decoder) (collector.Update, error) {
	u := collector.Update{HasPhase: true}
	err := d.Object(func(key string) error {
		v, err := d.Value()
		text, _ := v.Text()
		switch key {
		case "id":
			u.Key.ID = text
		case "phase":
			u.Phase, u.Status = toyPhases[text], text
		}
		return err
	})
	return u, err
}

func (s *toySource) List(ctx context.Context) (collector.Listing, error) {
	var out collector.Listing
	for offset := 0; ; {
		jobs, next, err := s.page(ctx, offset)
		if err != nil && offset > 0 && s.bug == "a part is everything" {
			return out, nil
		}
		if err != nil {
			out.Partial = true
			return out, err
		}
		out.Jobs = append(out.Jobs, jobs...)
		if next <= offset {
			return out, nil
		}
		offset = next
	}
}

func (s *toySource) Follow(ctx context.Context, job *collector.Job) (collector.Update, error) {
	if s.bug == "leaves a goroutine" {
		go time.Sleep(50 * time.Hour)
	}
	after, _ := strconv.Atoi(job.Cursor)
	u := collector.Update{HasCursor: true, More: true, Window: 4096}
	for range 3 { // pages
		if !u.More {
			break
		}
		err := s.events(ctx, job.Key.ID, after, &u)
		switch {
		case api.IsNotFound(err) && s.bug == "ends what is not found":
			return collector.Update{HasPhase: true, Phase: collector.Cancelled}, nil
		case err != nil && s.bug == "swallows errors":
			return collector.Update{}, nil
		case err != nil && s.bug == "skips what fails":
			u.Cursor = strconv.Itoa(after + toyPage)
			return u, nil
		case err != nil:
			return u, err
		}
		after += toyPage
	}
	read := len(u.Events)
	if !u.More && read > 0 && s.bug != "forgets its place" {
		last, _ := strconv.Atoi(u.Events[read-1].ID)
		after = last + 1
	}
	u.Cursor = strconv.Itoa(after)
	if !u.More && read == 0 {
		u.Cursor = job.Cursor
	}
	if s.bug == "counts twice" {
		for i := range u.Events {
			s.nonce++
			u.Events[i].ID += "/" + strconv.Itoa(s.nonce)
		}
		u.Cursor = ""
	}
	return u, nil
}

func (s *toySource) events(ctx context.Context, id string, after int, u *collector.Update) error {
	var got []collector.Event
	var more, whole bool
	var phase string
	err := s.ask(ctx, "events", "jobs/"+id+"/events", "after="+strconv.Itoa(after), func(d *api.Decoder) error {
		got, more, whole = nil, false, false
		return d.Object(func(key string) error {
			if key == "events" {
				whole = true
				return d.Array(func(int) error {
					j, err := toyJob(d)
					got = append(got, collector.Event{ID: j.Key.ID, Type: collector.StepEvent})
					return err
				})
			}
			v, err := d.Value()
			switch key {
			case "more":
				more, _ = v.Bool()
			case "phase":
				phase, _ = v.Text()
			case "after":
				if f, ok, _ := v.Float(); ok && int(f) != after && s.bug != "believes any page" {
					return errors.New("another page than was asked for")
				}
			}
			return err
		})
	})
	if err == nil && !whole {
		err = &api.Error{Operation: "events", Class: "decode", Detail: "no list of events"}
	}
	if err != nil {
		return err
	}
	u.Events, u.More = append(u.Events, got...), more
	if u.Phase, u.HasPhase = toyPhases[phase]; !more {
		u.Status = phase
	}
	return nil
}

// toySigner exchanges the key for tokens.
type toySigner struct {
	s      *toySource
	client *api.Client
	gate   chan struct{} // holds one while the token is looked at
	token  string
	until  time.Time
}

func (g *toySigner) Fingerprint() string { return g.s.key }
func (g *toySigner) Setting() string     { return "check toy_key" }

func (g *toySigner) Sign(ctx context.Context, r *http.Request) error {
	if g.s.bug == "a token each time" {
		token, _, err := g.fetch(ctx)
		r.Header.Set("Authorization", "Bearer "+token)
		return err
	}
	select {
	case g.gate <- struct{}{}:
	case <-ctx.Done():
		return &api.Error{Class: "timeout", Detail: "waited for a token", Err: ctx.Err()}
	}
	defer func() { <-g.gate }()
	if g.token == "" || time.Now().After(g.until) && g.s.bug != "an eternal token" {
		token, seconds, err := g.fetch(ctx)
		if err != nil {
			return err
		}
		g.token, g.until = token, time.Now().Add(time.Duration(seconds*0.9)*time.Second)
	}
	r.Header.Set("Authorization", "Bearer "+g.token)
	return nil
}

func (g *toySigner) Refused(r *http.Request) {
	g.gate <- struct{}{}
	defer func() { <-g.gate }()
	used := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if (used == g.token || g.s.bug == "a token for everyone") && g.s.bug != "an eternal token" {
		g.token = ""
	}
}

func (g *toySigner) fetch(ctx context.Context) (token string, seconds float64, err error) {
	body, err := json.Marshal(map[string]string{"secret": g.s.key})
	if err != nil {
		return "", 0, err
	}
	r := api.Request{Operation: "token", Method: http.MethodPost, URL: g.s.base.JoinPath("token"), Body: body, Idempotent: true}
	err = g.client.JSON(ctx, r, func(d *api.Decoder) error {
		return d.Object(func(key string) error {
			v, err := d.Value()
			switch key {
			case "token":
				token, _ = v.Text()
			case "seconds":
				seconds, _, _ = v.Float()
			}
			return err
		})
	})
	if err == nil && token == "" {
		err = &api.Error{Operation: "token", Class: "auth", Detail: "no token in the answer"}
	}
	return cmp.Or(token, "none"), seconds, err
}

// recorder is a test that only remembers that it failed.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}
