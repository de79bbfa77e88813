package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A reader's key is made and registered on the command line, and opens the reader's
// tokens; the seed is in a file that only its owner reads, and nowhere else.
func TestReaders(t *testing.T) {
	d := startDev(t, t.TempDir())
	seed := filepath.Join(t.TempDir(), "billing.xk")
	var registered struct {
		Name, Fingerprint string
		Key               string `json:"curve_key"`
	}
	d.get(&registered, "reader", "register", "billing", "--generate", "--seed-file", seed)
	if registered.Name != "billing" || !strings.HasPrefix(registered.Key, "X") || !strings.HasPrefix(registered.Fingerprint, "SHA256:") {
		t.Errorf("registered %+v", registered)
	}
	kept, err := os.ReadFile(seed)
	if err != nil || !strings.HasPrefix(string(kept), "SX") {
		t.Fatalf("the seed's file holds no seed, %v", err)
	}
	info, err := os.Stat(seed)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the seed's file: %v, %v", info, err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		out, code := d.cli("token", "get", "demo", "--inbox-prefix", "_INBOX_billing")
		if code == 4 && strings.Contains(out, "--reader-seed-file") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("without the seed: exit %d", code)
		}
	}
	other := filepath.Join(t.TempDir(), "other.xk")
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"token get demo --inbox-prefix _INBOX_billing --reader-seed-file " + seed + " -o json", 0, "access_token"},
		{"token get demo -o json", 0, "access_token"},
		{"reader ls", 0, registered.Fingerprint},
		{"reader register billing --generate --seed-file " + other, 4, "--replace"},
		{"reader register billing --generate --seed-file " + seed + " --replace", 2, "is there already"},
		{"reader register billing --generate", 2, "--seed-file"},
		{"reader register billing", 2, "--generate"},
		{"reader register billing --key XYZ", 2, "no public curve key"},
		{"reader register b.c --generate --seed-file " + other, 2, "no reader's name"},
		{"reader register support --key " + registered.Key, 0, registered.Fingerprint},
		{"reader register support --generate --replace --seed-file " + other, 0, "SHA256:"},
		{"token get demo --inbox-prefix _INBOX_billing --reader-seed-file " + other, 4, "sealed to another key"},
		{"reader register printed --generate --seed-file -", 0, "registered printed: X"},
		{"reader rm support", 4, "--yes"},
		{"reader rm support --yes", 0, ""},
		{"reader rm support --yes", 3, "no reader"},
	} {
		out, code := d.cli(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("outlink %s: exit %d, want %d with %q:\n%s", tt.args, code, tt.code, tt.says, out)
		}
		if strings.Contains(out, strings.TrimSpace(string(kept))) {
			t.Errorf("outlink %s printed a seed", tt.args)
		}
	}
}
