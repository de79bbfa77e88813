package testenv

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// NATSCLI is the folder of the nats command line, which setup.sh installs.
func NATSCLI(t testing.TB) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "bin")
	if _, err := os.Stat(filepath.Join(dir, "nats")); err != nil {
		absent(t, "nats", err)
	}
	return dir
}

// absent skips a test for want of a program, and fails it in CI, where setup.sh
// installs them all.
func absent(t testing.TB, what string, err error) {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	missing("%s is not installed, run internal/testenv/setup.sh: %v", what, err)
}
