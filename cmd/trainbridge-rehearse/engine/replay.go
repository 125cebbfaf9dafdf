package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/prometheus/util/strutil"
)

const (
	replayBatch   = 256              // notifications in a request, as Prometheus sends them
	replayTimeout = 10 * time.Second // for a request
)

// A Replay sends the alerts of a timeline to a real Alertmanager, as Prometheus would, but at once. It belongs outside of the bubble.
type Replay struct {
	// URL is where Alertmanager is, such as http://127.0.0.1:9093.
	URL string
	// Client sends; http.DefaultClient if nil.
	Client *http.Client
	// ExternalURL is where generatorURL leads; DefaultExternalURL if empty.
	ExternalURL string
	// Sent is called after alerts were taken, with what was sent: first what fires, then what resolved. Alertmanager gathers alerts for
	// a while before it tells of them and does not tell of what is over by then, so Sent should return when the receiver has them.
	Sent func(ctx context.Context, sent []Notification) error
}

// A Notification is an alert as Alertmanager's API v2 takes it.
type Notification struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// Play sends all alerts that fired: that they fire, and then that they resolved, unless they still fire in the timeline. What fired
// more than once is sent as often, one after the other. Virtual times become now: an alert starts when it is sent.
func (r Replay) Play(ctx context.Context, t Timeline) error {
	for _, round := range rounds(t.Fired()) {
		firing := make([]Notification, len(round))
		var resolved []Notification
		now := time.Now()
		for i, a := range round {
			firing[i] = r.notification(a, t.ExternalLabels, now)
		}
		if err := r.send(ctx, firing); err != nil {
			return err
		}
		now = time.Now()
		for i, a := range round {
			if !a.Resolved.IsZero() {
				over := firing[i]
				over.EndsAt = now
				resolved = append(resolved, over)
			}
		}
		if err := r.send(ctx, resolved); err != nil {
			return err
		}
	}
	return nil
}

// rounds are first the alerts that come for the first time, then those that come for the second time, and so on.
func rounds(alerts []Alert) [][]Alert {
	var all [][]Alert
	times := make(map[string]int)
	for _, a := range alerts {
		key := fmt.Sprint(a.Labels) // in the order of the names
		n := times[key]
		times[key]++
		if n == len(all) {
			all = append(all, nil)
		}
		all[n] = append(all[n], a)
	}
	return all
}

func (r Replay) notification(a Alert, external map[string]string, now time.Time) Notification {
	labels := maps.Clone(a.Labels)
	for name, value := range external {
		if labels[name] == "" {
			labels[name] = value
		}
	}
	link := r.ExternalURL
	if link == "" {
		link = DefaultExternalURL
	}
	return Notification{
		Labels: labels, Annotations: a.Annotations, StartsAt: now, EndsAt: now.Add(4 * resendDelay),
		GeneratorURL: link + strutil.TableLinkForExpression(a.Expr),
	}
}

// send posts notifications in batches, and waits as the caller wants.
func (r Replay) send(ctx context.Context, all []Notification) error {
	if len(all) == 0 {
		return nil
	}
	for rest := all; len(rest) > 0; {
		n := min(len(rest), replayBatch)
		if err := r.post(ctx, rest[:n]); err != nil {
			return fmt.Errorf("send %d alerts to Alertmanager at %s: %w", n, r.URL, err)
		}
		rest = rest[n:]
	}
	if r.Sent == nil {
		return nil
	}
	return r.Sent(ctx, all)
}

func (r Replay) post(ctx context.Context, batch []Notification) (err error) {
	body, err := json.Marshal(batch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(r.URL, "/")+"/api/v2/alerts", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("it answers %s: %s", response.Status, clean(string(said), 8*cellWidth))
	}
	return nil
}
