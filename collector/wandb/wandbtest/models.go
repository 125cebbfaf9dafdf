package wandbtest

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
)

func (s *Server) createModel(c *call) reply {
	var in struct {
		Entity         *string `json:"entity"`
		Project        string  `json:"project"`
		Name           string  `json:"name"`
		BaseModel      string  `json:"base_model"`
		ReturnExisting bool    `json:"return_existing"`
	}
	if bad, ok := decode(c, &in); !ok {
		return bad
	}
	for field, value := range map[string]string{"project": in.Project, "name": in.Name, "base_model": in.BaseModel} {
		if value == "" {
			return missing(c, field)
		}
	}
	entity := s.o.Entity
	if in.Entity != nil && *in.Entity != "" {
		entity = *in.Entity
	}
	m, created := s.addModel("", modelName{entity, in.Project, in.Name}, in.BaseModel)
	if !created && !in.ReturnExisting {
		return status(c, http.StatusConflict, "Model already exists.")
	}
	return reply{status: http.StatusOK, body: m.describe(c.buf)}
}

func (m *model) describe(b []byte) []byte {
	for i, field := range [6][2]string{
		{"id", m.id}, {"entity", m.entity}, {"project", m.project}, {"name", m.name}, {"base_model", m.base}, {"run_id", m.run},
	} {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		b = appendString(append(b, sep), field[0])
		b = appendString(append(b, ':'), field[1])
	}
	return append(b, '}')
}

func modelNotFound(c *call) reply {
	c.seen.UnknownID++
	return status(c, http.StatusNotFound, "Model not found")
}

func (s *Server) deleteModel(c *call) reply {
	s.mu.Lock()
	m := s.models[c.id]
	if m != nil {
		delete(s.models, c.id)
		delete(s.byName, m.modelName)
	}
	s.mu.Unlock()
	if m == nil {
		return modelNotFound(c)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := appendString(append(c.buf, `{"model_id":`...), m.id)
	b = strconv.AppendInt(append(b, `,"deleted_checkpoints":`...), int64(len(m.checkpoints)), 10)
	return reply{status: http.StatusOK, body: append(b, `,"deleted_run":true}`...)}
}

func (s *Server) listCheckpoints(c *call) reply {
	limit, bad, ok := c.limit()
	if !ok {
		return bad
	}
	if c.q.hasOrder && c.q.order != "asc" && c.q.order != "desc" {
		return invalid(c, "query", "order", "Input should be 'asc' or 'desc'", "literal_error")
	}
	m := s.model(c.id)
	if m == nil {
		return modelNotFound(c)
	}
	m.mu.Lock()
	all := slices.Clone(m.checkpoints)
	m.mu.Unlock()
	if c.q.order == "desc" {
		slices.Reverse(all)
	}
	start := 0
	if c.q.after != "" {
		at := slices.IndexFunc(all, func(p checkpoint) bool { return p.id == c.q.after })
		if at < 0 {
			return status(c, http.StatusNotFound, "Checkpoint not found")
		}
		start = at + 1
	}
	end := min(len(all), start+limit)
	return checkpointPage(c, all[start:end], end < len(all))
}

func checkpointPage(c *call, page []checkpoint, more bool) reply {
	b := c.buf
	b = append(b, `{"object":"list","data":[`...)
	first, last := "", ""
	for i, p := range page {
		if i == 0 {
			first = p.id
		} else {
			b = append(b, ',')
		}
		last = p.id
		if slices.ContainsFunc(p.metrics, func(v Value) bool { return math.IsNaN(v.Number) || math.IsInf(v.Number, 0) }) {
			return serverError(c)
		}
		b = appendString(append(b, `{"id":`...), p.id)
		b = strconv.AppendInt(append(b, `,"step":`...), int64(p.step), 10)
		b, _ = appendValues(append(b, `,"metrics":`...), p.metrics)
		b = append(b, '}')
	}
	b = appendString(append(b, `],"first_id":`...), first)
	b = appendString(append(b, `,"last_id":`...), last)
	b = append(appendHasMore(b, c.f.HasMore, more), '}')
	return reply{status: http.StatusOK, body: b}
}

func (s *Server) deleteCheckpoints(c *call) reply {
	var in struct {
		Steps []int `json:"steps"`
	}
	if bad, ok := decode(c, &in); !ok {
		return bad
	}
	m := s.model(c.id)
	if m == nil {
		return modelNotFound(c)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out := struct {
		Deleted  int   `json:"deleted_count"`
		NotFound []int `json:"not_found_steps"`
	}{NotFound: []int{}}
	for _, step := range in.Steps {
		at := slices.IndexFunc(m.checkpoints, func(p checkpoint) bool { return p.step == step })
		if at < 0 {
			out.NotFound = append(out.NotFound, step)
			continue
		}
		m.checkpoints = slices.Delete(m.checkpoints, at, at+1)
		out.Deleted++
	}
	b, err := json.Marshal(out)
	if err != nil {
		return serverError(c)
	}
	return reply{status: http.StatusOK, body: append(c.buf, b...)}
}

func (s *Server) log(c *call) reply {
	var in struct {
		Split  *string         `json:"split"`
		Groups json.RawMessage `json:"trajectory_groups"`
	}
	if bad, ok := decode(c, &in); !ok {
		return bad
	}
	if s.model(c.id) == nil {
		return modelNotFound(c)
	}
	return reply{status: http.StatusOK, body: append(c.buf, "{}"...)}
}

// createJob serves both routes that create a job. The documented answer holds the id alone.
func (s *Server) createJob(c *call) reply {
	var in struct {
		ModelID string            `json:"model_id"`
		Groups  []json.RawMessage `json:"trajectory_groups"`
		URL     string            `json:"training_data_url"`
	}
	if bad, ok := decode(c, &in); !ok {
		return bad
	}
	kind := RL
	if c.op == OpCreateSFTJob {
		kind = SFT
	}
	switch {
	case in.ModelID == "":
		return missing(c, "model_id")
	case kind == RL && in.Groups == nil:
		return missing(c, "trajectory_groups")
	case kind == SFT && in.URL == "":
		return missing(c, "training_data_url")
	case s.model(in.ModelID) == nil:
		return modelNotFound(c)
	}
	j := Job{ModelID: in.ModelID, Kind: kind}
	j.ID = s.AddJob(j)
	if hook := s.posted.Load(); hook != nil {
		(*hook)(j, len(in.Groups))
	}
	return reply{status: http.StatusOK, body: s.job(j.ID).created(c)}
}

func (j *job) created(c *call) []byte {
	if c.f.ExtraFields {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.describe(c.buf, c.f)
	}
	return append(appendString(append(c.buf, `{"id":`...), j.id), '}')
}
