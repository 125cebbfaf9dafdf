// Package program is the program trainbridge: its command line and configuration file, the table of source kinds, the wiring of sources,
// state and exporters, and the demo. It is a package of its own so that other programs of this repository can play the demo: see
// [Rehearsal].
package program
