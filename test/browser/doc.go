// Package browser opens the pages of package web in a headless Chromium and looks at what a person would: that hostile names stay
// text and nothing runs, that updates arrive, that it works without scripts, on a phone, in the dark, and with a keyboard only.
//
// The tests look for the program that the variable CHROMIUM names, else for chromium in PATH, and are skipped if there is
// none. BROWSER_SCREENSHOTS names a folder for pictures of the pages.
package browser
