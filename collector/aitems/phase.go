package aitems

import "github.com/trainbridge/trainbridge/collector"

// state is what a documented status of a training means.
type state struct {
	phase   collector.Phase
	message string // of a failure whose status says why
}

var states = map[string]state{
	"ready":          {phase: collector.Pending}, // can be trained
	"requesting":     {phase: collector.Pending},
	"waiting":        {phase: collector.Pending},
	"learning":       {phase: collector.Running},
	"stopping":       {phase: collector.Stopping},
	"completed":      {phase: collector.Succeeded},
	"requestFailed":  {phase: collector.Failed},
	"refinedFailed":  {phase: collector.Failed, message: "the dataset could not be cleaned (refinedFailed)"},
	"learningFailed": {phase: collector.Failed},
}

// types are the documented types of training.
var types = map[string]bool{"personalRecommend": true, "relatedItem": true, "pop": true}
