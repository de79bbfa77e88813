package check

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// understood says whether the binary knows a command line.
func understood(t *testing.T, args []string) error {
	t.Helper()
	_, err := help(t, args...)
	return err
}

// help is the binary's own account of a command.
func help(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), binary(t), append(args, "--help")...)
	c.Stdout, c.Stderr, c.Env = &out, &out, []string{"HOME=/nonexistent"}
	err := c.Run()
	// cobra shows the parent's help for a subcommand that it does not know.
	if len(args) > 0 && err == nil && !strings.Contains(out.String(), "outlink "+args[0]) {
		err = fmt.Errorf("unknown command %q", args[0])
	}
	if err != nil {
		return "", fmt.Errorf("outlink %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// binary is made once, by the Dockerfile's own command.
func binary(t *testing.T) string {
	t.Helper()
	once.Do(func() { made.path, made.err = makeBinary(t) })
	if made.err != nil {
		t.Fatal(made.err)
	}
	return made.path
}

var (
	once sync.Once
	made struct {
		path string
		err  error
	}
)

func makeBinary(t *testing.T) (string, error) {
	t.Helper()
	stages, err := stagesOf(read(t, dockerfile))
	if err != nil {
		return "", err
	}
	b, err := buildCommand(stages)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "outlink")
	c := exec.Command("sh", "-c", strings.Replace(b.command, "-o "+b.output, "-o "+path, 1))
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", b.command, err, out)
	}
	return path, nil
}

func TestBinaryIsStatic(t *testing.T) {
	out := string(goCommand(t, "version", "-m", binary(t)))
	if !strings.Contains(out, "CGO_ENABLED=0") {
		t.Errorf("built with cgo:\n%s", out)
	}
}
