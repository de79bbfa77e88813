package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// The past through the real binary: a link as it was, what changed, each state,
// the log verified, exported, moved to another namespace, and verified there.
func TestHistory(t *testing.T) {
	d := startDev(t, t.TempDir())
	d.renewed(1)
	do := func(code int, says string, args ...string) string {
		t.Helper()
		out, got := d.cli(args...)
		if got != code || !strings.Contains(out, says) {
			t.Fatalf("outlink %s: exit %d, want %d with %q:\n%s", strings.Join(args, " "), got, code, says, out)
		}
		return out
	}
	before := time.Now().UTC().Format(time.RFC3339Nano)
	do(0, "link.updated", "link", "update", "google", "--scopes", "openid profile")
	do(0, "link.disabled", "link", "disable", "google", "--reason", "audit")

	do(0, "disabled", "link", "show", "google")
	if out := do(0, "active", "link", "show", "google", "--version", "1"); strings.Contains(out, "profile") {
		t.Errorf("version 1 has the later scopes:\n%s", out)
	}
	do(0, "active", "link", "show", "google", "--at", before)
	do(3, "did not exist then", "link", "show", "google", "--at", "2001-01-01T00:00:00Z")
	do(2, "is no time", "link", "show", "google", "--at", "yesterday")
	if out := do(0, "scopes", "link", "diff", "google", "--from", "1", "--to", "2"); strings.Contains(out, "status") {
		t.Errorf("the difference of 1 and 2:\n%s", out)
	}
	do(0, "status", "link", "diff", "google", "--from", before)
	if out := do(0, "google", "link", "ls", "--at", before); strings.Contains(out, "disabled") || !strings.Contains(out, "demo") {
		t.Errorf("the list as it was:\n%s", out)
	}
	if out := do(0, "google", "link", "ls", "--at", before, "--provider", "google"); strings.Contains(out, "demo") {
		t.Errorf("the list of one provider as it was:\n%s", out)
	}
	if out := do(0, "", "link", "ls", "--at", before, "--status", "disabled", "-o", "jsonl"); out != "" {
		t.Errorf("the disabled links before one was:\n%s", out)
	}
	do(0, "1 of 3 links", "link", "ls", "--at", before, "--limit", "1")
	do(2, "--at goes with", "link", "ls", "--at", before, "--health", "healthy")
	do(3, "no version 999", "link", "show", "google", "--version", "999")
	do(3, "no version 99", "link", "diff", "google", "--to", "99")
	steps := strings.Split(strings.TrimSpace(do(0, "", "events", "step", "google")), "\n")
	var last struct {
		Version uint64
		State   struct{ Paused bool }
	}
	if err := json.Unmarshal([]byte(steps[len(steps)-1]), &last); err != nil || len(steps) != 3 || !last.State.Paused {
		t.Errorf("%d steps, the last one %+v, %v", len(steps), last, err)
	}
	var grants []grantLine
	d.get(&grants, "grant", "ls", "demo")
	do(0, "token_issued", "events", "step", "demo", "--grant", grants[0].Grant)
	do(3, "has no grant", "events", "step", "demo", "--grant", uuid.NewString())
	do(3, "does not exist", "events", "step", uuid.NewString())
	do(3, "outlink migrate", "events", "ls", "--namespace", "nowhere")
	do(3, "outlink migrate", "reader", "ls", "--namespace", "nowhere")
	if out := do(0, "refresh_started", "events", "ls", "--type", "grant.refresh", "--by", "node:*"); strings.Contains(out, "token_issued") {
		t.Errorf("a filter by type lets others through:\n%s", out)
	}
	if out := do(0, "link.disabled", "events", "ls", "--type", "link.", "--since", before, "--limit", "2"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "link.updated") {
		t.Errorf("two events of links since a time:\n%s", out)
	}
	do(0, "more: --after ", "events", "ls", "--link", "google", "--type", "link.", "--limit", "1")
	tailed := do(0, "token_issued", "events", "tail", "--until", before)
	if strings.Contains(tailed, "link.disabled") || !strings.Contains(tailed, "link.created") {
		t.Errorf("up to a time, there is more:\n%s", tailed)
	}
	if out := do(0, "link.disabled", "events", "tail", "--since", before, "--follow=false"); strings.Contains(out, "link.created") {
		t.Errorf("since a time, there is more:\n%s", out)
	}
	if out := do(0, "link.disabled", "events", "tail", "--follow=false", "--link", "google"); !strings.Contains(out, "link.created") {
		t.Errorf("what there is of a link:\n%s", out)
	}
	soon := time.Now().UTC().Add(3 * time.Second).Format(time.RFC3339Nano)
	do(0, "token_issued", "events", "tail", "--since", before, "--until", soon)
	own := []string{"--kek-file", filepath.Join(d.dir, "kek.json")}
	do(0, "MACs were not checked", "events", "verify")
	if out := do(0, "events of", append([]string{"events", "verify"}, own...)...); strings.Contains(out, "not checked") {
		t.Errorf("with the key:\n%s", out)
	}
	file := filepath.Join(t.TempDir(), "log.jsonl.zst")
	do(0, "events", "events", "export", "--file", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("the export: %v, %v", info, err)
	}
	if out := do(0, "link.created", "events", "export", "--file", "/dev/stdout"); !strings.Contains(out, " events\n") {
		t.Errorf("the export to a pipe:\n%s", out)
	}
	do(2, "--file", "events", "export", "--file", filepath.Join(file, "none"))
	do(0, "link.enabled", "link", "enable", "google") // the log is longer than the file now
	do(2, "give --kek-file", "events", "import", file)
	do(4, "import into an empty one", append([]string{"events", "import", file}, own...)...)
	alone := filepath.Join(t.TempDir(), "link.jsonl")
	do(0, "events", "events", "export", "--link", "google", "--file", alone)

	its := []string{"events", "--kek-file", d.migrate("moved"), "--namespace", "moved"}
	do(2, "export of one link", append(its, "import", alone)...)
	do(0, "events", append(its, "import", file)...)
	do(0, "0 events", append(its, "import", file)...)
	do(0, "events of", append(its, "verify")...)
	do(0, "in use within a minute", append(its, "rotate-key")...)
	do(4, "retire that after", append(its, "rotate-key", "--retire")...)
	do(0, "events of", append(its, "verify")...)
	do(5, "does not open them", append([]string{"events", "verify", "--namespace", "moved"}, own...)...)
	moved := strings.Split(strings.TrimSpace(do(0, "", "events", "ls", "--namespace", "moved", "--type", "outlink.link.")), "\n")
	if len(moved) != 5 {
		t.Errorf("the moved log has %d events of links:\n%s", len(moved), strings.Join(moved, "\n"))
	}
	// Somebody slips an event in.
	nc, err := nats.Connect(d.at.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	forged := &nats.Msg{Subject: "moved.events.link.0199a000-0000-7000-8000-000000000001", Data: []byte(`{"at":"2026-11-24T12:00:00Z"}`), Header: nats.Header{
		"ce-id": {"0199a000-0000-7000-8000-00000000ffff"}, "ce-type": {"outlink.link.enabled.v1"}, "ce-time": {"2026-11-24T12:00:00Z"}, "Outlink-Version": {"4"},
	}}
	if _, err := nc.RequestMsg(forged, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	do(1, "its hash is not that of its content", "events", "verify", "--namespace", "moved")
	do(1, "no message authentication code (MAC)", append(its, "verify")...)
	if out := do(0, "link.disabled", append(its, "ls")...); strings.Contains(out, "link.enabled") {
		t.Errorf("a foreign message is listed:\n%s", out)
	}
	d.interrupt()
}

// migrate declares another namespace's streams, and returns its key encryption key.
func (d *dev) migrate(namespace string) string {
	d.t.Helper()
	dir := d.t.TempDir()
	if out, code := d.cli("migrate", "--namespace", namespace, "--database", "sqlite:"+filepath.Join(dir, "read.db"), "--kek-file", filepath.Join(dir, "kek.json")); code != 0 {
		d.t.Fatalf("migrate: exit %d\n%s", code, out)
	}
	return filepath.Join(dir, "kek.json")
}
