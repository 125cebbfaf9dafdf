package wandb

import "strings"

// renamed holds the key names of the 2025 trainer and what the same numbers are called since 2026, after the table that
// the reference client (ART) applies. A key with a slash is of the newer era already.
var renamed = map[string]string{
	"policy_loss":          "loss/train",
	"loss":                 "loss/train",
	"entropy":              "loss/entropy",
	"kl_div":               "loss/kl_div",
	"kl_policy_ref":        "loss/kl_policy_ref",
	"grad_norm":            "loss/grad_norm",
	"learning_rate":        "loss/learning_rate",
	"num_groups_submitted": "data/step_num_groups_submitted",
	"num_groups_trainable": "data/step_num_groups_trainable",
	"num_trajectories":     "data/step_num_trajectories",
	"num_datums":           "data/step_num_datums",
	"num_trainable_tokens": "data/step_trainer_tokens",
	"train_tokens":         "data/step_trainer_tokens",
}

// normalise gives a key of an event's data its name of today. Unknown keys keep theirs.
func normalise(key string) string {
	if strings.Contains(key, "/") {
		return key
	}
	if name, ok := renamed[key]; ok {
		return name
	}
	if rest, ok := strings.CutPrefix(key, "group_metric_"); ok {
		return "group_" + rest
	}
	return key
}

// rank says which of several keys with one name is taken: a name of today before an old one, and the loss of the policy
// alone before the sum that holds the KL term too.
func rank(key string) int {
	switch {
	case strings.Contains(key, "/"):
		return 2
	case key == "policy_loss", key == "num_trainable_tokens":
		return 1
	}
	return 0
}
