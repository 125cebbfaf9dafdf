package runai

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// filterFields are the fields of workloads that the API filters by, as documented.
func filterFields() []string {
	return []string{
		"type", "name", "clusterId", "projectId", "projectName", "departmentId", "departmentName", "createdAt", "deletedAt",
		"submittedBy", "phase", "completedAt", "nodepool", "distributedFramework", "allocatedGPU", "idleGpus", "idleAllocatedGpus",
		"phaseUpdatedAt", "category", "priority", "totalPendingTimeSeconds", "totalRunningTimeSeconds", "priorityClassName",
		"guaranteedRuntimeEndsAt", "aiApplicationId", "aiApplicationName",
	}
}

// checkFilter holds a condition to the documented form: a field, an operator, a value. Conditions are sent joined by commas,
// so that none can stand in one.
func checkFilter(s string) error {
	at := strings.IndexAny(s, "=!<>")
	if at < 0 || len(s) < at+3 {
		return errors.New(`must be a field, an operator and a value, such as "projectName==vision"`)
	}
	if field := s[:at]; !slices.Contains(filterFields(), field) {
		return fmt.Errorf("%q is not a field that the API filters by", field)
	}
	if op := s[at : at+2]; !slices.Contains([]string{"==", "!=", "<=", ">=", "=@", "!@", "=^", "=$"}, op) {
		return fmt.Errorf("%q is not an operator; those are == != <= >= =@ (contains) !@ =^ (starts with) =$ (ends with)", op)
	}
	if strings.Contains(s, ",") {
		return errors.New("must not have a comma: write several conditions as several filters")
	}
	return nil
}

// filterBy is the parameter of that name: all conditions in one. That several hold together is not documented, so the words of
// the lists are looked at again by [Source.wants]; they are sent to get fewer rows.
func (c *Config) filterBy() string {
	all := slices.Clone(c.Filters)
	for _, l := range []struct {
		field string
		words []string
	}{{"projectName", c.Projects}, {"type", c.Types}, {"category", c.Categories}} {
		if len(l.words) == 1 && !strings.Contains(l.words[0], ",") {
			all = append(all, l.field+"=="+l.words[0])
		}
	}
	return strings.Join(all, ",")
}

// wants reports whether the operator wants the workload watched.
func (s *Source) wants(w *workload) bool {
	return allowed(s.config.Projects, w.project) && allowed(s.config.Types, w.typ) &&
		(w.category == "" || allowed(s.config.Categories, w.category))
}

func allowed(words []string, word string) bool {
	return len(words) == 0 || slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) })
}
