package testenv

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
)

// Spectral lints a document by a ruleset. It returns what it finds, warnings
// too, and nothing for a document without fault.
func Spectral(t testing.TB, ruleset, document string) string {
	t.Helper()
	node, dir := nodeJS(t, "@stoplight/spectral-cli")
	cli := filepath.Join(dir, "node_modules", "@stoplight", "spectral-cli", "dist", "index.js")
	out, err := exec.CommandContext(t.Context(), node, cli, "lint", "--fail-severity=warn", "--display-only-failures", "--quiet", "--ruleset", ruleset, document).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("spectral did not run: %v\n%s", err, out)
	}
	if err == nil {
		return ""
	}
	return string(out)
}
