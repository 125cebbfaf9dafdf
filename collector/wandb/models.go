package wandb

import (
	"container/list"
	"sync"

	"github.com/trainbridge/trainbridge/collector"
)

// maxModels bounds the table of models.
const maxModels = 10_000

// models remembers what the proxy has seen of models, the latest used ones. The zero value with a limit is empty.
type models struct {
	limit int
	mu    sync.Mutex
	order list.List // of *knownModel, latest used first
	byID  map[string]*list.Element
}

type knownModel struct {
	id   string
	info collector.Info
}

// seed takes over what a job of a model is known by.
func (m *models) seed(job collector.Info) {
	if job.Model == "" || job.Group == "" {
		return
	}
	if job.Group == job.Model {
		if m.has(job.Model) {
			return
		}
		job.Name = ""
	}
	m.put(job.Model, collector.Info{
		Provider: provider, Name: job.Name, Group: job.Group, Project: job.Project, Owner: job.Owner, BaseModel: job.BaseModel, URL: job.URL,
		Model: job.Model,
	})
}

func (m *models) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id] != nil
}

func (m *models) put(id string, info collector.Info) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.byID[id]; ok {
		e.Value = &knownModel{id, info}
		m.order.MoveToFront(e)
		return
	}
	if m.byID == nil {
		m.byID = map[string]*list.Element{}
	}
	m.byID[id] = m.order.PushFront(&knownModel{id, info})
	if m.order.Len() > m.limit {
		oldest := m.order.Back()
		m.order.Remove(oldest)
		delete(m.byID, oldest.Value.(*knownModel).id)
	}
}

// info is what a job of a model is: part of the group that carries the model's name.
func (m *models) info(id string) collector.Info {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byID[id]
	if !ok {
		return collector.Info{Provider: provider, Group: id, Model: id}
	}
	m.order.MoveToFront(e)
	return e.Value.(*knownModel).info
}

// modelInfo reads the answer to POST models. The run's page is where W&B shows entity/project/run_id.
func modelInfo(id string, f map[string]string) collector.Info {
	name := clip(f["name"], maxText)
	if name == "" {
		name = id
	}
	info := collector.Info{
		Provider: provider, Name: name, Group: name, Project: clip(f["project"], maxText), Owner: clip(f["entity"], maxText),
		BaseModel: clip(f["base_model"], maxText), Model: id,
	}
	if f["entity"] != "" && f["project"] != "" && f["run_id"] != "" {
		info.URL = "https://wandb.ai/" + escape(f["entity"]) + "/" + escape(f["project"]) + "/runs/" + escape(f["run_id"])
	}
	return info
}
