package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"outlink/commands"
	"outlink/commands/client/outlinktest"
	"outlink/internal/demoprovider"
	"outlink/internal/testenv"
)

// terminal is a shell with the real nats command line, as a person has it.
type terminal struct {
	*testing.T
	env  []string
	said string // assignments so far
}

func newTerminal(t *testing.T, o *outlinktest.Outlink) *terminal {
	t.Helper()
	dir, draft := t.TempDir(), o.Draft("crm")
	uuidgen := filepath.Join(dir, "uuidgen") // not every machine has it
	if err := os.WriteFile(uuidgen, []byte("#!/bin/sh\ncat /proc/sys/kernel/random/uuid\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &terminal{T: t, env: append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "NATS_URL="+o.URL(),
		"PATH="+testenv.NATSCLI(t)+":"+dir+":"+os.Getenv("PATH"), "CLIENT_ID="+draft.ClientID, "CLIENT_SECRET="+o.ClientSecret().Clear.Reveal(),
		"AUTHORIZATION_ENDPOINT="+draft.AuthorizationEndpoint, "TOKEN_ENDPOINT="+draft.TokenEndpoint)}
}

// enter runs one command and returns what it printed.
func (t *terminal) enter(line string) string {
	t.Helper()
	out, err := t.command(t.Context(), line).CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	return string(out)
}

func (t *terminal) command(ctx context.Context, line string) *exec.Cmd {
	c := exec.CommandContext(ctx, "bash", "-c", t.said+"exec "+line) // a kill reaches nats, and no shell around it
	c.Env = t.env
	return c
}

var assignment = regexp.MustCompile(`^([A-Z]+)=(.*)$`)

// assign keeps what a line assigns, for the lines after it.
func (t *terminal) assign(line string) bool {
	t.Helper()
	m := assignment.FindStringSubmatch(line)
	if m == nil {
		return false
	}
	t.said += m[1] + "=" + t.enter("echo -n "+m[2]) + "\n"
	return true
}

// onPage are the commands of the section's blocks of shell, block by block; one goes
// on in the next line while a quote is open.
func onPage(t *testing.T) (blocks [][]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## The nats command line")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		var lines []string
		open := ""
		for line := range strings.Lines(block[1]) {
			if open += line; strings.Count(open, "'")%2 == 0 {
				lines, open = append(lines, strings.TrimRight(open, "\n")), ""
			}
		}
		blocks = append(blocks, lines)
	}
	return blocks
}

// What docs/clients.md shows of the nats command line does what it says, with the
// real one.
func TestNATSCommandLine(t *testing.T) {
	o := outlinktest.Start(t)
	sh, blocks := newTerminal(t, o), onPage(t)
	if len(blocks) != 3 {
		t.Fatalf("the page shows %d blocks, want asking, submitting and watching", len(blocks))
	}
	answers := map[string]string{ // words of an answer, by words of its command
		"info": `"curve_key"`, "CreateOutgoingLink": "outlink.link.created.v1", "BeginAuthorization": "authorization_url",
		"token.get": `"access_token"`, "ShowLink": `"name":"crm"`, "submit.DisableLink": "OUTLINK_SUBMITTED", "command.DisableLink": "outlink.link.disabled.v1",
	}
	for _, line := range append(blocks[0], blocks[1]...) {
		if sh.assign(line) {
			continue
		}
		out := sh.enter(line)
		want := "nothing that the test knows"
		for words, answer := range answers {
			if strings.Contains(line, "."+words) {
				want = answer
			}
		}
		if !strings.Contains(out, want) {
			t.Errorf("%s\nprinted no %s:\n%s", line, want, out)
		}
		sh.authorize(out)
	}
	if second := sh.enter(blocks[1][2]); !strings.Contains(second, `"duplicate"`) {
		t.Errorf("a second time: %s", second)
	}
	sh.watch(o, blocks[2])
}

// authorize opens an authorization URL, if there is one in what was printed.
func (t *terminal) authorize(printed string) {
	t.Helper()
	_, rest, ok := strings.Cut(printed, `"authorization_url":`)
	if !ok {
		return
	}
	var url string
	if err := json.NewDecoder(strings.NewReader(rest)).Decode(&url); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := demoprovider.SignIn(ctx, url); err != nil {
		t.Fatal(err)
	}
}

// watch runs the commands that watch, and has something happen.
func (t *terminal) watch(o *outlinktest.Outlink, lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	wants := []string{"outlink.link.created.v1", "outlink.link.created.v1", "link_degraded"}
	if len(lines) != len(wants) {
		t.Fatalf("the page watches in %d ways", len(lines))
	}
	for i, line := range lines {
		line, _, _ = strings.Cut(line, "   #")
		c := t.command(ctx, line)
		heard := &screen{want: wants[i], found: make(chan struct{})}
		c.Stdout, c.Stderr = heard, heard
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for waiting := true; waiting; {
			select {
			case <-heard.found:
				waiting = false
			case <-ctx.Done():
				t.Fatalf("%s: heard no %s:\n%s", line, wants[i], heard)
			case <-time.After(200 * time.Millisecond): // whoever subscribes from now on hears what comes next
				t.happen(ctx, o, wants[i])
			}
		}
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

// happen causes what is to be heard.
func (t *terminal) happen(ctx context.Context, o *outlinktest.Outlink, what string) {
	t.Helper()
	if what == "link_degraded" { // a refusal of a client's secret takes a provider; the notice is what counts here
		if err := o.Client().NC.Publish("outlink.notice.link_degraded.0192f0c1-0000-7000-8000-000000000001", []byte(`{"kind":"link_degraded"}`)); err != nil {
			t.Fatal(err)
		}
		return
	}
	if _, err := o.Client().CreateOutgoingLink(ctx, commands.CreateOutgoingLink{Draft: o.Draft(time.Now().String()), ClientSecret: o.ClientSecret()}); err != nil {
		t.Fatal(err)
	}
}

// screen is what a command prints, until it has some words.
type screen struct {
	mu    sync.Mutex
	b     bytes.Buffer
	want  string
	found chan struct{}
	once  sync.Once
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.b.Write(p)
	if strings.Contains(s.b.String(), s.want) {
		s.once.Do(func() { close(s.found) })
	}
	return n, err
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
