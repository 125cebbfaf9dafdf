package wandb

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/trainbridge/trainbridge/collector/api"
)

// jobList is an endpoint that lists jobs in the http_sd format. It is not safe for concurrent use.
type jobList struct {
	client   *api.Client
	url      *url.URL
	every    time.Duration
	log      *slog.Logger
	next     time.Time
	answered bool // once at least
	content  targets
	told     string // what was not understood, as it was last told
}

// refresh asks if it is time. After a failure the jobs stay those of the last answer, and the error says so until the
// endpoint answers again.
func (l *jobList) refresh(ctx context.Context, now time.Time) (asked bool, unknown []string, err error) {
	if now.Before(l.next) {
		return false, nil, nil
	}
	l.next = now.Add(l.every)
	var groups []group
	err = l.client.JSON(ctx, api.Request{
		Operation: "discovery", URL: l.url,
		Header: http.Header{"X-Prometheus-Refresh-Interval-Seconds": {strconv.FormatFloat(math.Ceil(l.every.Seconds()), 'f', -1, 64)}},
	}, func(d *api.Decoder) (err error) {
		groups, err = decodeGroups(d)
		return err
	})
	if err != nil {
		l.answered = false
		return true, nil, fmt.Errorf("job URL: %w", err)
	}
	content, err := flatten(groups)
	if err != nil {
		l.answered = false
		return true, nil, fmt.Errorf("job URL %s: %w", l.url.Redacted(), err)
	}
	if slices.Equal(l.content.list, content.list) {
		content.list = l.content.list // an answer like the one before changes nothing
	}
	l.answered, l.content = true, content
	if told := fmt.Sprint(content.unknown, content.problem); told != l.told {
		l.told = told
		warnTargets(l.log, l.url.Redacted(), content)
		unknown = content.unknown
	}
	return true, unknown, nil
}

func decodeGroups(d *api.Decoder) (groups []group, err error) {
	err = d.Array(func(int) error {
		g := group{Labels: map[string]string{}}
		err := d.Object(func(key string) error {
			switch key {
			case "targets":
				return d.Array(func(int) error {
					id, err := readText(d)
					g.Targets = append(g.Targets, id)
					return err
				})
			case "labels":
				return decodeLabels(d, g.Labels)
			}
			return nil
		})
		groups = append(groups, g)
		return err
	})
	return groups, err
}

func decodeLabels(d *api.Decoder, to map[string]string) error {
	if d.Kind() == api.Null {
		return nil
	}
	return d.Object(func(name string) error {
		value, err := readText(d)
		if err == nil && len(to) < maxLabels {
			to[name] = value
		}
		return err
	})
}

// maxLabels bounds the labels of a group of targets.
const maxLabels = 64
