package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/natsd"
	"outlink/internal/node"
	"outlink/projections"
)

// TestMain makes the test binary the real one when it is asked to be.
func TestMain(m *testing.M) {
	if os.Getenv("OUTLINK_TEST_AS_BINARY") != "" {
		main()
	}
	os.Exit(m.Run())
}

// binary is `outlink` with the given arguments.
func binary(args ...string) *exec.Cmd { return binaryContext(context.Background(), args...) }

func binaryContext(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), "OUTLINK_TEST_AS_BINARY=1", "OUTLINK_ACTOR=tester")
	return c
}

// dev is a running `outlink dev`.
type dev struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	err printed
	at  ready

	ready string // the file that says so
}

// printed is what a process has printed so far.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

func startDev(t *testing.T, dir string, flags ...string) *dev {
	t.Helper()
	d := &dev{t: t, dir: dir}
	file := filepath.Join(t.TempDir(), "ready.json")
	d.ready = file
	d.cmd = binary(append([]string{"dev", "--data", dir, "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--provider", "127.0.0.1:0",
		"--ready-file", file, "--token-lifetime", "2s"}, flags...)...)
	d.cmd.Stderr = &d.err
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill(); _ = d.cmd.Wait() })
	deadline := time.Now().Add(time.Minute)
	for {
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &d.at) == nil {
			return d
		}
		if time.Now().After(deadline) {
			t.Fatalf("dev is not ready after a minute:\n%s", d.err.String())
		}
		time.Sleep(20 * time.Millisecond) // another process writes the file
	}
}

// cli runs a command line against it and returns what it printed and its exit code.
func (d *dev) cli(args ...string) (string, int) {
	d.t.Helper()
	c := binary(append(args, "--server", d.at.NATS)...)
	var errOut bytes.Buffer
	c.Stderr = &errOut
	out, err := c.Output()
	if err != nil && c.ProcessState == nil {
		d.t.Fatal(err)
	}
	return string(out) + errOut.String(), c.ProcessState.ExitCode()
}

// get decodes the JSON that a command line prints.
func (d *dev) get(into any, args ...string) {
	d.t.Helper()
	out, code := d.cli(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), into); code != 0 || err != nil {
		d.t.Fatalf("outlink %s: exit %d, %v\n%s", strings.Join(args, " "), code, err, out)
	}
}

type grantLine struct {
	Grant      string `json:"grant_id"`
	Status     string `json:"status"`
	Generation uint64 `json:"generation"`
}

// renewed waits until the demo grant is past a generation.
func (d *dev) renewed(past uint64) grantLine {
	d.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		var grants []grantLine
		d.get(&grants, "grant", "ls", "demo")
		if len(grants) == 1 && grants[0].Generation > past {
			return grants[0]
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("the grant stays at %+v\n%s", grants, d.err.String())
		}
	}
}

func (d *dev) interrupt() {
	d.t.Helper()
	_ = d.cmd.Process.Signal(syscall.SIGINT)
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("Ctrl-C ended dev with %v:\n%s", err, d.err.String())
	}
}

// The flow of the README through the real binary, and its exit codes.
func TestCommandLine(t *testing.T) {
	d := startDev(t, t.TempDir())
	var providers []struct{ Key string }
	d.get(&providers, "provider", "ls")
	if len(providers) < 3 {
		t.Errorf("providers: %+v", providers)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var created struct {
		Link        string `json:"link_id"`
		RedirectURL string `json:"redirect_url"`
		Sequence    uint64
	}
	d.get(&created, "link", "create", "--name", "crm", "--provider", "custom", "--client-id", "id", "--client-secret-file", secret,
		"--scopes", "a b", "--authorization-endpoint", d.at.Provider+"/authorize", "--token-endpoint", d.at.Provider+"/oauth/token", "--auth-style", "basic")
	if !strings.HasSuffix(created.RedirectURL, "/oauth/callback/"+created.Link) || created.Sequence == 0 {
		t.Errorf("created %+v", created)
	}
	var token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
	}
	d.get(&token, "token", "get", "demo")
	if token.AccessToken == "" || token.TokenType != "Bearer" {
		t.Errorf("token type %q, token given: %t", token.TokenType, token.AccessToken != "")
	}
	var begun struct {
		URL string `json:"authorization_url"`
	}
	d.get(&begun, "grant", "authorize", "crm")
	if !strings.Contains(begun.URL, "/oauth/start/"+created.Link+"?ticket=") {
		t.Errorf("authorization URL %q", begun.URL)
	}
	var grants []grantLine
	d.renewed(1)
	d.get(&grants, "grant", "ls", "demo")
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"grant show " + grants[0].Grant, 0, grants[0].Grant},
		{"grant explain " + grants[0].Grant, 0, "Attempts, the last at the end:"},
		{"grant explain " + grants[0].Grant, 0, "Next: "},
		{"grant explain " + created.Link, 3, "not in the read model"},
		{"grant explain demo", 2, "named by its id"},
		{"link ls", 0, "crm"},
		{"link show crm", 0, created.Link},
		{"link update crm --scopes a", 0, "link.updated"},
		{"link disable crm --reason test", 0, "link.disabled"},
		{"link enable crm", 0, "link.enabled"},
		{"link delete crm", 4, "--yes"},
		{"link delete crm --yes", 0, "link.deleted"},
		{"link show crm", 3, "no link with the name"},
		{"link show", 2, "takes a link's id or name"},
		{"link create --name google --client-id x", 2, "client_secret is missing"},
		{"link create --name google --provider google --client-id x --scopes openid --client-secret-file " + secret, 4, "taken"},
		{"provider redirect-url --provider google", 0, "http://localhost:"},
		{"provider redirect-url --provider custom", 2, "authorization endpoint"},
		{"projection status", 0, "activity"},
		{"link ls -o xml", 2, "table, json or jsonl"},
		{"nonsense", 2, "unknown command"},
		{"events ls --link demo --limit 1", 0, `"type":"outlink.link.created.v1"`},
	} {
		out, code := d.cli(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("outlink %s: exit %d, want %d with %q:\n%s", tt.args, code, tt.code, tt.says, out)
		}
	}
	d.interrupt()
	if out, code := d.cli("link", "ls"); code != 5 && code != 3 {
		t.Errorf("without a server: exit %d: %s", code, out)
	}
}

// Ten times SIGKILL at a random moment, with renewals every second: the grant
// lives, and the read model equals a replay of the log.
func TestKills(t *testing.T) {
	dir := t.TempDir()
	var last grantLine
	for i := range 10 {
		d := startDev(t, dir)
		g := d.renewed(last.Generation)
		time.Sleep(rand.N(1500 * time.Millisecond)) // the moment is the test's input
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
		t.Logf("kill %d: the grant was %s at generation %d", i+1, g.Status, g.Generation)
		last = g
	}
	d := startDev(t, dir)
	g := d.renewed(last.Generation)
	var links []struct{ Name, Status string }
	d.get(&links, "link", "ls")
	if len(links) != 3 || g.Generation < 10 {
		t.Errorf("links %+v, grant %+v", links, g)
	}
	d.interrupt()
	equalToReplay(t, dir)
}

func equalToReplay(t *testing.T, dir string) {
	t.Helper()
	server, err := natsd.Start(filepath.Join(dir, "nats"), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	n, err := node.Open(t.Context(), node.Config{
		Namespace: bus.DefaultNamespace, NATS: server.URL(), Database: "sqlite:" + filepath.Join(dir, "outlink.db"), HTTP: "127.0.0.1:0",
		KEKFile: filepath.Join(dir, "kek.json"), Name: "inspector", Roles: []string{node.RoleProjections}, Replicas: 1, Dev: true,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	records, err := n.Feed.Range(t.Context(), nil, 0, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	positions, err := n.Store().Positions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last := records[len(records)-1].Sequence; len(positions) != 2 || positions[1].Sequence != last {
		t.Logf("the read model stopped at %+v, the log ends at %d", positions, last)
		records = records[:position(records, positions[1])] // by name: activity, links
	}
	wantLinks, wantGrants, err := projections.Replay(records)
	if err != nil {
		t.Fatal(err)
	}
	links, grants, err := projections.Dump(t.Context(), n.Store())
	if err != nil {
		t.Fatal(err)
	}
	got, want := fmt.Sprintf("%+v", encode(t, links, grants)), fmt.Sprintf("%+v", encode(t, wantLinks, wantGrants))
	if got != want {
		t.Errorf("the read model differs from a replay of %d events:\n%s\n%s", len(records), got, want)
	}
}

// position is how many of the records a projection has seen that was stopped.
func position(records []domain.Record, at projections.Position) int {
	n := 0
	for n < len(records) && records[n].Sequence <= at.Sequence {
		n++
	}
	return n
}

func encode(t *testing.T, v ...any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
