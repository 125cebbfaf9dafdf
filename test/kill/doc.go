// Package kill holds the crash test: the real program is killed without warning again and again while jobs train, and every
// count must come out exact.
package kill
