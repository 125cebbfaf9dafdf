package wandbtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrJobFailed is wrapped by Trainer's error when the service says that training failed.
var ErrJobFailed = errors.New("training failed")

// TrainerOptions configure Trainer.
type TrainerOptions struct {
	Client    *http.Client  // default http.DefaultClient
	Entity    string        // empty sends null
	Project   string        // default "project"
	Name      string        // of the model; default "model"
	BaseModel string        // default "OpenPipe/Qwen3-14B-Instruct"
	Kind      Kind          // default RL
	Jobs      int           // training steps, each of which is a job; default 1
	Groups    int           // trajectory groups per job; default 8
	Padding   int           // bytes of text in each job's body, to make it large
	Poll      time.Duration // between looks at the events; default 1 s

	OnModel func(modelID string)
	OnJob   func(jobID string)
	OnEvent func(jobID string, e ReceivedEvent)
}

func (o TrainerOptions) withDefaults() TrainerOptions {
	if o.Client == nil {
		o.Client = http.DefaultClient
	}
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	set(&o.Project, "project")
	set(&o.Name, "model")
	set(&o.BaseModel, qwen14)
	o.Jobs = max(1, o.Jobs)
	if o.Groups <= 0 {
		o.Groups = 8
	}
	if o.Poll <= 0 {
		o.Poll = time.Second
	}
	return o
}

// ReceivedEvent is an event as a client sees it.
type ReceivedEvent struct {
	ID   string          `json:"id"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

type trainer struct {
	o    TrainerOptions
	base string
	key  string
}

// Trainer does what a program built on the reference client does: it gets or creates a model, creates training jobs one
// after the other, and polls the events of each until it ends, in the reference client's way (a request a second, no
// limit parameter, the cursor kept where training_started is met). baseURL ends in the version, like
// "https://host/v1", and may have any path. Trainer returns when the last job has ended, a job fails, an answer makes no sense,
// or ctx ends.
func Trainer(ctx context.Context, baseURL, key string, o TrainerOptions) error {
	t := &trainer{o: o.withDefaults(), base: strings.TrimRight(baseURL, "/"), key: key}
	model, err := t.model(ctx)
	if err != nil {
		return fmt.Errorf("train: get or create model: %w", err)
	}
	for step := range t.o.Jobs {
		id, err := t.create(ctx, model)
		if err != nil {
			return fmt.Errorf("train: create job %d: %w", step+1, err)
		}
		if err := t.follow(ctx, id); err != nil {
			return fmt.Errorf("train: job %s: %w", id, err)
		}
		if err := t.checkpoint(ctx, model); err != nil {
			return fmt.Errorf("train: latest checkpoint of model %s: %w", model, err)
		}
	}
	return nil
}

type identified struct {
	ID string `json:"id"`
}

func (t *trainer) model(ctx context.Context) (string, error) {
	body := map[string]any{
		"entity": nil, "project": t.o.Project, "name": t.o.Name, "base_model": t.o.BaseModel, "return_existing": true,
	}
	if t.o.Entity != "" {
		body["entity"] = t.o.Entity
	}
	var out identified
	if err := t.do(ctx, http.MethodPost, "/preview/models", body, &out); err != nil {
		return "", err
	}
	if t.o.OnModel != nil {
		t.o.OnModel(out.ID)
	}
	return out.ID, nil
}

func (t *trainer) create(ctx context.Context, model string) (string, error) {
	path, body := "/preview/training-jobs", map[string]any{"model_id": model}
	if t.o.Kind == SFT {
		path = "/preview/sft-training-jobs"
		body["training_data_url"] = "wandb-artifact:///entity/project/" + t.o.Name + "-sft-data-0123456789ab:v0"
		body["config"] = map[string]any{"batch_size": "auto", "learning_rate": nil, "padding": strings.Repeat("x", t.o.Padding)}
	} else {
		groups := make([]any, t.o.Groups)
		for i := range groups {
			groups[i] = map[string]any{"trajectories": []any{map[string]any{"reward": 0.5, "messages": []any{}}}}
		}
		body["trajectory_groups"] = groups
		body["experimental_config"] = map[string]any{"padding": strings.Repeat("x", t.o.Padding)}
	}
	var out identified
	if err := t.do(ctx, http.MethodPost, path, body, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", errors.New("the answer has no id")
	}
	if t.o.OnJob != nil {
		t.o.OnJob(out.ID)
	}
	return out.ID, nil
}

// follow is the reference client's loop over the events of one job.
func (t *trainer) follow(ctx context.Context, id string) error {
	after, started := "", false
	for {
		if !pause(ctx, t.o.Poll) {
			return ctx.Err()
		}
		events, err := t.list(ctx, id, after)
		if err != nil {
			return err
		}
		for _, e := range events {
			if t.o.OnEvent != nil {
				t.o.OnEvent(id, e)
			}
			switch e.Type {
			case TypeStarted:
				started = true
				continue // and leave the cursor
			case TypeStep:
				if !started {
					return errors.New("gradient_step before training_started")
				}
			case TypeEnded:
				return nil
			case TypeFailed:
				return failure(e)
			}
			after = e.ID
		}
	}
}

func failure(e ReceivedEvent) error {
	var data struct {
		Message string `json:"error_message"`
	}
	if json.Unmarshal(e.Data, &data) != nil || data.Message == "" {
		data.Message = "Training failed with an unknown error"
	}
	return fmt.Errorf("%w: %s", ErrJobFailed, data.Message)
}

// list reads all pages after a cursor: the next cursor is the id of the last item, and an empty page or has_more false
// ends the list.
func (t *trainer) list(ctx context.Context, id, after string) ([]ReceivedEvent, error) {
	var all []ReceivedEvent
	for {
		path := "/preview/training-jobs/" + id + "/events"
		if after != "" {
			path += "?after=" + url.QueryEscape(after)
		}
		var page struct {
			Data    []ReceivedEvent `json:"data"`
			HasMore *bool           `json:"has_more"`
		}
		if err := t.do(ctx, http.MethodGet, path, nil, &page); err != nil {
			return all, err
		}
		all = append(all, page.Data...)
		if len(page.Data) == 0 || page.HasMore != nil && !*page.HasMore {
			return all, nil
		}
		after = page.Data[len(page.Data)-1].ID
	}
}

func (t *trainer) checkpoint(ctx context.Context, model string) error {
	var page struct {
		Data []struct {
			Step int `json:"step"`
		} `json:"data"`
	}
	return t.do(ctx, http.MethodGet, "/preview/models/"+model+"/checkpoints?limit=1&order=desc", nil, &page)
}

// retries is how often a GET is repeated; POSTs are not.
const retries = 3

func (t *trainer) do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		again, err := t.once(ctx, method, path, body, out)
		if err == nil || !again || method != http.MethodGet || n == retries {
			return err
		}
		if !pause(ctx, t.o.Poll/2<<n) {
			return ctx.Err()
		}
	}
}

// once makes one request and says whether another might help.
func (t *trainer) once(ctx context.Context, method, path string, body []byte, out any) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, t.base+path, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer "+t.key)
	req.Header.Set("User-Agent", "AsyncOpenAI/Python (wandbtest trainer)")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-Stainless-Lang", "python")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := t.o.Client.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // for the message only
		code := resp.StatusCode
		return code == 408 || code == 409 || code == 429 || code >= 500, fmt.Errorf("%s %s: status %d: %s", method, path, code, text)
	}
	return false, json.NewDecoder(resp.Body).Decode(out)
}
