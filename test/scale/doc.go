// Package scale holds a source with very many jobs to its budget. It has only a test.
package scale
