// Package nvml reads NVIDIA GPUs.
//
// The driver's library is called by another process, the same program started again: see package helper for why and how. This
// package starts it, reads its frames, and makes of them what exporters show. Nothing here calls the driver, and nothing here
// waits for a GPU: a [Monitor] publishes a view with each frame, and with each tick whether there was a frame or not.
//
// # What a view promises
//
// A GPU is known by its UUID. One that was seen stays for a day after it was last heard of, with Up false, its counters and its
// name; its index only as long as no other GPU has it. A restart of the program forgets GPUs that were taken out, and so does another
// library. Up means that its values are no older than two intervals and a second. Counters never fall, whatever restarts: where the
// driver begins anew, they go on from where they were, and Resets counts it; a driver's wrong number now and then changes nothing.
// XIDs are those that were observed since the bridge first saw the GPU.
//
// # Helpers
//
// One that ends because it wants to look at the driver afresh is followed by another, but no sooner than an interval after it was
// started, or, if it read no GPU, ten times as long as the driver's initialisation took. One that crashes, writes nonsense, or is
// silent for thirty seconds (or three intervals) is ended; the next follows after 1, 2, 4 ... 60 seconds, and after 1 again when one
// was well for a minute. A helper that hangs in the kernel survives even SIGKILL. So there may be two, and never a third: while two
// cannot be ended, GPUs are not read, and the log says so.
//
// Only a library that is initialised anew may see that a GPU is back. So another helper is started when one was lost, and from time to
// time while GPUs are missing: after 1, 2, 4 ... 10 minutes, but no sooner than ten times what initialisation took. The one that reads
// goes on until the new one has read all that it reads; if that does not come to be within ten seconds of its first answer (or three
// intervals), the new one is ended. While a helper that cannot be ended is left, this has to wait.
//
// Both helpers hear of XIDs. Those of the one that reads are counted. The other takes over when neither has told of an XID for half a
// second; what the first has told since the other began is then left out of what the other has counted. So none is lost and none
// counted twice, unless XIDs come without a pause: then it takes over after the ten seconds, and those on their way may be.
package nvml
