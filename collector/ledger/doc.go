// Package ledger keeps what must survive a crash: jobs, groups, totals, tombstones of retired jobs, and spans on their way
// out.
//
// # Engines
//
// [Open] keeps everything in one directory, in a bbolt file with fsync on: [DB]. [Memory] keeps it in the process, for
// trying things out. Both are an [Engine] and pass the same conformance suite.
//
// # Files
//
//	state.db                     everything
//	checkpoint.db                a verified copy of it, made by Run every hour
//	state.db.corrupt-<UTC time>  a file that could not be used, likewise for checkpoint.db; never deleted by the bridge
//	reserve                      16 MiB to give away when the disk is full, so that a commit can still run
//	lock                         held while a bridge uses the directory
//
// The directory is made with mode 0700 and the files with 0600. A symbolic link in place of a file is refused.
//
// # Records
//
// A record is a version byte, a CRC-32C and CBOR. The checksum also covers the kind of the record and its key, so that a
// record cannot stand in another's place. Every commit also stores, for each kind, how many records there are and the sum
// of their checksums: a page that points to an older version of another, or a record that fell out, is noticed too. A file
// written by a newer version is refused with [ErrNewer], and not a byte of it changes.
//
// # Opening
//
// Before bbolt sees a file, a reader of its own walks every page of it, because bbolt may panic on a damaged file in a
// goroutine where nobody can recover. If the file is damaged the newest checkpoint takes its place, and if there is none
// that can be used, an empty state does, which the sources fill again; [DB.Recovered] says which, the log says why, and
// the damaged file is kept. State is a fold of a prefix of the events, so an older state is consistent: reading on from its
// cursors gives the same totals. Spans may be sent again, with the same ids (and, where the service gives no times, later ones).
//
// A span that is damaged alone is moved aside and counted as dropped; so is a record whose checksum holds but which cannot
// be decoded.
//
// # Commits
//
// A commit is one transaction. If it fails, nothing of it happened and the next one may succeed. If it failed so late that
// the disk may hold it, the error wraps collector.ErrUnknownOutcome and every further commit is refused until Load has read
// again what the disk holds.
//
// # Outbox
//
// Spans wait in the order of their commits. Above the bound the newest are dropped. The counts are part of each commit, so
// that produced = sent + queued + dropped holds exactly whenever it is looked at.
package ledger
