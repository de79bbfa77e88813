package check

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository.
const root = "../.."

// dir holds what is made once for all tests.
var dir string

func TestMain(m *testing.M) {
	var err error
	if dir, err = os.MkdirTemp("", "check"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// goCommand runs the go command in the root module.
func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), "go", args...)
	c.Dir, c.Stderr = root, &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// change is one fault put into a file that is right, and what the check has to
// say of it. A check that was never seen to fail proves nothing.
type change struct{ name, old, new, want string }

// apply makes the change; a change that finds nothing to change is a test out
// of date.
func (c change) apply(t *testing.T, text string) string {
	t.Helper()
	if !strings.Contains(text, c.old) {
		t.Fatalf("there is no %q to replace", c.old)
	}
	return strings.Replace(text, c.old, c.new, 1)
}

// breaks runs a check over each broken text.
func breaks(t *testing.T, text string, changes []change, check func(t *testing.T, text string) []error) {
	t.Helper()
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			err := errors.Join(check(t, c.apply(t, text))...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the check says %v; want %q", err, c.want)
			}
		})
	}
}

func holds(t *testing.T, problems []error) {
	t.Helper()
	if err := errors.Join(problems...); err != nil {
		t.Error(err)
	}
}
