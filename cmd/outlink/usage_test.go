package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// cli runs the program in this process.
func cli(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, func(string) string { return "" }, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

// A mistake on the command line exits with 2 and says so on standard error alone;
// help that is asked for is no mistake.
func TestUsage(t *testing.T) {
	for args, says := range map[string]string{
		"":                                      "give outlink a command",
		"nonsense":                              `unknown command "nonsense" for outlink`,
		"lnk ls":                                "is it link",
		"link":                                  "give outlink link a command",
		"link nonsense":                         `unknown command "nonsense" for outlink link`,
		"completion":                            "give outlink completion a command",
		"completion nonsense":                   "unknown command",
		"version extra":                         "takes no such arguments",
		"link ls extra":                         "takes no such arguments",
		"link show":                             "takes a link's id or name",
		"link ls --nonsense":                    "unknown flag",
		"token get demo --min-ttl -1s":          "--min-ttl is -1s",
		"events ls --limit 0":                   "from 1 on",
		"events ls --limit 9223372036854775807": "at most",
		"dead ls --limit 0":                     "from 1 on",
		"link ls --limit -1":                    "from 1 on",
		"link show demo --version 0":            "from 1 on",
		"link diff demo --from 0":               "from 1 on",
		"link ls --timeout 0s":                  "--timeout",
		"link ls --timeout -1s":                 "--timeout",
		"dead drop":                             "takes sequences of outlink dead ls",
		"help nonsense":                         `unknown command "nonsense" for outlink`,
		"help link nonsense":                    `unknown command "nonsense" for outlink link`,
		"serve --roles nonsense":                `role "nonsense"`,
		"serve --public-url http://example.com": "plain http",
		"serve --public-url https://a:s3cret@example.com": "leave out the user",
	} {
		code, out, errOut := cli(t, strings.Fields(args)...)
		if code != 2 || out != "" || !strings.Contains(errOut, says) || strings.Contains(errOut, "s3cret") {
			t.Errorf("outlink %s: exit %d, printed %q, want 2 and nothing, with %q in\n%s", args, code, out, says, errOut)
		}
	}
	for _, args := range []string{"--help", "link --help", "help link", "link ls -h", "version", "--version", "completion bash"} {
		if code, out, errOut := cli(t, strings.Fields(args)...); code != 0 || out == "" || errOut != "" {
			t.Errorf("outlink %s: exit %d, printed %d bytes, and %q", args, code, len(out), errOut)
		}
	}
}

// listenOn takes an address.
func listenOn(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// What is wrong with the settings of dev is an error of usage, and an address that
// is taken is said at once.
func TestDevRefusals(t *testing.T) {
	taken := listenOn(t)
	ready := filepath.Join(t.TempDir(), "ready.json")
	for _, tt := range []struct {
		flags []string
		code  int
		says  string
	}{
		{[]string{"--http", "0.0.0.0:0"}, 2, "listens on a loopback address only"},
		{[]string{"--public-url", "ftp://example.com"}, 2, "public-url"},
		{[]string{"--nats", taken}, 5, taken + ": "},
		{[]string{"--nats", taken}, 5, "--nats"},
		{[]string{"--ready-file", filepath.Join(t.TempDir(), "none", "ready.json")}, 3, "write the ready file"},
	} {
		if err := os.WriteFile(ready, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		args := append([]string{"dev", "--data", t.TempDir(), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--provider", "127.0.0.1:0", "--ready-file", ready}, tt.flags...)
		code, _, errOut := cli(t, args...)
		if code != tt.code || !strings.Contains(errOut, tt.says) || time.Since(begun) > 20*time.Second {
			t.Errorf("dev %v: exit %d after %s, want %d with %q in\n%s", tt.flags, code, time.Since(begun), tt.code, tt.says, errOut)
		}
		if _, err := os.Stat(ready); err == nil && tt.flags[0] != "--ready-file" {
			t.Errorf("dev %v left an old ready file", tt.flags)
		}
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// What could not be written is an error, of a table too.
func TestPrintFails(t *testing.T) {
	for _, output := range []string{"table", "json", "jsonl"} {
		a := &app{out: full{}, output: output}
		if err := a.print([]string{"x"}, []string{"name"}, [][]string{{"x"}}); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", output, err)
		}
	}
}

// Who runs a command is in the log also where the environment does not say it.
func TestActor(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "user:" + me.Username, "alice": "user:alice"} {
		a := &app{getenv: func(string) string { return name }, output: "table", timeout: time.Second}
		if err := a.environment(&cobra.Command{}); err != nil || a.actor != want {
			t.Errorf("USER=%q: actor %q, want %q, %v", name, a.actor, want, err)
		}
	}
}
