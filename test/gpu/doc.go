// Package gpu holds the tests of how GPUs are read, on the whole: the real program with a library that hangs, crashes and loses
// GPUs on command. The promise is that nothing of it hurts /metrics, and that no count is ever lost. With -args -gpu.long more is
// tried, for longer, and against the bounds in full.
package gpu
