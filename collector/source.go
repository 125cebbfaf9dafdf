package collector

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// A Source is one place that runs training jobs. Methods block, obey ctx, start nothing that outlives the call, and may be
// called from several goroutines.
type Source interface {
	// List finds the jobs, with whatever the listing itself says about each. If the listing could not be read to its end
	// it says so, and absent jobs are kept rather than forgotten. With an error it may return what it read so far.
	List(ctx context.Context) (Listing, error)
}

// A Follower is a Source whose jobs must also be asked one by one.
type Follower interface {
	Source
	// Follow reads what is new about one job. The job is the last committed version and must not be changed; its Cursor
	// and Window say what is known. An error loses nothing: the next call starts from the same job.
	Follow(ctx context.Context, job *Job) (Update, error)
}

// A Relister is a Source whose listings may be Unchanged. After Relist the next one is whole again: what it said before could
// not be recorded.
type Relister interface {
	Relist()
}

// A Prober can test its access without reading jobs, for `trainbridge check --probe`.
type Prober interface {
	// Probe makes one harmless request and returns an error that says what to change.
	Probe(ctx context.Context) error
}

// Paced is a Source that says how often it wants to be polled; others get [DefaultCadence]. Only the Rate may change, when the
// service slows us down.
type Paced interface{ Cadence() Cadence }

// Budgeted is a Source whose configuration says what its jobs may cost.
type Budgeted interface {
	// Budget is that of a job that says nothing itself; an amount of 0 is none. The currency is that of amounts which name
	// none, where the costs of a job do not tell.
	Budget() (m Money, currency string)
}

// Expiring is a Source that may know when its credential ends.
type Expiring interface {
	// CredentialExpiry is when somebody must have replaced the credential, the zero time if nobody knows. Files are read again.
	CredentialExpiry() time.Time
}

// Listing is one look at all jobs of a source.
type Listing struct {
	Jobs    []Update
	Partial bool // absent jobs are not gone
	Local   bool // no service was asked: the listing says nothing about the source's health
	// Unchanged says that Jobs would be those of the listing before, which was neither partial nor an error; they are left
	// out. Only a [Relister] may say so.
	Unchanged bool
}

// Env is what a source gets besides its own configuration.
type Env struct {
	Name   string // the operator's name of the source, label training_source
	Log    *slog.Logger
	Health *Health // where the source's HTTP client reports its requests
	Dial   Dial    // how the source's HTTP client connects; nil: as it does by itself
}

// Dial opens a connection, as [net.Dialer.DialContext] does.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Cadence is how often a source is polled. A zero duration takes the default.
type Cadence struct {
	List      time.Duration   // between listings
	Queued    time.Duration   // of a job that has not started
	Running   time.Duration   //
	Paused    time.Duration   //
	Reconcile []time.Duration // after a job's end, its events are read and counted once more
	Rate      float64         // requests per second that the source may make, which is asked for again and again; 0 is no bound
	Burst     float64         // requests that may be made at once after a quiet time; a second's worth if 0
	Workers   int             // polls at once
}

// DefaultCadence suits an API without a documented limit.
func DefaultCadence() Cadence {
	return Cadence{
		List: 30 * time.Second, Queued: 60 * time.Second, Running: 15 * time.Second, Paused: 120 * time.Second,
		Reconcile: []time.Duration{time.Minute, 10 * time.Minute}, Workers: 16,
	}
}
