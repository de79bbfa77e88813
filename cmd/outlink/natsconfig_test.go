package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The users' secrets are in files that only their owner reads, never in the
// output; a second run keeps every key.
func TestNATSConfig(t *testing.T) {
	for _, flag := range []string{"--jwt=false", "--jwt"} {
		t.Run(flag, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "users")
			first := natsConfig(t, dir, flag)
			secrets := secretsIn(t, dir)
			if len(secrets) < 9 {
				t.Fatalf("only %d files", len(secrets))
			}
			second := natsConfig(t, dir, flag, "--reader", "support=0192f0c1-0000-7000-8000-000000000002")
			after := secretsIn(t, dir)
			for name, seed := range secrets {
				if strings.Contains(first+second, seed) {
					t.Errorf("what is in %s was printed", name)
				}
				if after[name] != seed {
					t.Errorf("the key in %s changed", name)
				}
			}
			if !strings.Contains(flag, "false") {
				return // in operator mode the names are inside the JWTs
			}
			if strings.Contains(first, "support") || !strings.Contains(second, "support") {
				t.Error("the second run does not add its reader")
			}
		})
	}
}

func natsConfig(t *testing.T, dir string, more ...string) string {
	t.Helper()
	var out, errOut bytes.Buffer
	args := append([]string{"nats-config", "--out", dir, "--app", "crm", "--reader", "billing=0192f0c1-0000-7000-8000-000000000001"}, more...)
	if code := run(t.Context(), args, func(string) string { return "" }, nil, &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	return out.String()
}

// secretsIn returns the seed in each file.
func secretsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seeds := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if strings.HasPrefix(line, "S") { // a seed
				seeds[e.Name()] = strings.TrimSpace(line)
			}
		}
	}
	return seeds
}

func TestNATSConfigRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"no directory":          {},
		"a reader without link": {"--out", t.TempDir(), "--reader", "billing"},
		"no link's id":          {"--out", t.TempDir(), "--reader", "billing=*"},
		"a role's name":         {"--out", t.TempDir(), "--app", "node"},
		"a name twice":          {"--out", t.TempDir(), "--app", "crm", "--app", "crm"},
		"a name with a dot":     {"--out", t.TempDir(), "--app", "a.b"},
		"an account's name":     {"--out", t.TempDir(), "--app", "OUTLINK"},
	} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"nats-config"}, args...), func(string) string { return "" }, nil, &out, &errOut); code != 2 || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %s%s", name, code, &out, &errOut)
		}
	}
}
