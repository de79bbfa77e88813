package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What is set aside is listed, shown, retried and dropped on the command line.
func TestDead(t *testing.T) {
	d := startDev(t, t.TempDir())
	nc, err := nats.Connect(d.at.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		body, _ := json.Marshal(map[string]any{"command_id": uuid.New(), "link_id": uuid.New()})
		if _, err := js.Publish(t.Context(), "outlink.submit.DisableLink", body); err != nil {
			t.Fatal(err)
		}
	}
	d.aside(3)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"dead ls", 0, "not_found"},
		{"dead ls --limit 2", 0, "--before 2"},
		{"dead ls --kind event -o json", 0, "[]"},
		{"dead ls --since 1h -o jsonl --limit 1", 0, `"kind":"command"`},
		{"dead ls --since yesterday", 2, "24h"},
		{"dead ls --kind letter", 2, "command, notice, event or expiry"},
		{"dead show 1", 0, `"link_id"`},
		{"dead show 99", 3, "nothing is set aside under 99"},
		{"dead show first", 2, "no sequence"},
		{"dead retry", 2, "--all"},
		{"dead retry 1 --all", 2, "--all"},
		{"dead retry 1 --dry-run", 0, "nothing was changed"},
		{"dead ls -o json", 0, `"sequence":1`},
		{"dead drop 1", 4, "--yes"},
		{"dead drop 1 --dry-run", 0, "nothing was changed"},
		{"dead drop 1 99 2 --yes --reason duplicates", 3, "drop: 2 of 3"},
		{"dead ls -o json", 0, `[{"sequence":3`},
		{"dead retry --all --subject DisableLink", 0, "retry: 1 of 1"},
	} {
		out, code := d.cli(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("outlink %s: exit %d, want %d with %q:\n%s", tt.args, code, tt.code, tt.says, out)
		}
	}
	if out, code := d.cli("dead", "drop", "99", "--yes"); code != 3 || strings.Contains(strings.ToLower(out), "kind") {
		t.Errorf("a table of nothing: exit %d:\n%s", code, out)
	}
	if again := d.aside(1); again[0].Sequence != 4 {
		t.Errorf("refused again: %+v", again)
	}
	if log := d.err.String(); !strings.Contains(log, "duplicates") || !strings.Contains(log, "tester") {
		t.Errorf("the node's log does not say who dropped it, and why:\n%s", log)
	}
}

type asideLine struct{ Sequence uint64 }

// aside waits until so many are listed.
func (d *dev) aside(n int) (lines []asideLine) {
	d.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		lines = nil
		if d.get(&lines, "dead", "ls"); len(lines) == n {
			return lines
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%d are listed, want %d", len(lines), n)
		}
	}
}
