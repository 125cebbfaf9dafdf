// Package deps holds the program to the dependency rules of ARCHITECTURE.md. It has only a test, which reads the import graph
// that go list prints; the linter's depguard checks the same rules file by file as they are written.
package deps
