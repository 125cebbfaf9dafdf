// Package helper is the process that touches the driver of the GPUs, so that trainbridge itself does not.
//
// A call to NVIDIA's library may crash the process, or never return and hold it beyond SIGKILL. So the calls are made in a child:
// the same program, started again. The parent writes [Options] to its stdin, as the first frame, and reads a [Frame] from its
// stdout at every tick. The end of stdin means that the parent is gone, and that the helper must go too.
//
// # Inside
//
// One goroutine belongs to each GPU: it opens it, listens for its XIDs, and reads it at each tick. All GPUs are told of a tick at
// the same moment. A GPU that has not finished skips ticks; it is never asked twice at once. Another goroutine waits for its XIDs,
// and one asks how many GPUs there are. The goroutine that writes frames waits for the GPUs of a tick, but no longer than half an
// interval or half a second, and makes no calls: frames come whatever hangs. The start of every call is noted; a call without an answer
// for five seconds makes its GPU hung.
//
// # One way to recover
//
// The library is initialised once in the life of a helper. Whatever needs a fresh look at the driver (it was reloaded, the
// number of GPUs changed) ends the helper with a last frame that says why, and the parent starts the next. A GPU that is lost ends
// nothing: the others are read, and the parent starts the next helper beside this one. Nothing is recovered from in place, and a
// panic is not caught here.
package helper
