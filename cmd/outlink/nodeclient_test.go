package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"outlink/commands"
	"outlink/internal/testenv"
	"outlink/internal/testenv/model"
)

// A service written in Node uses the real binary as docs/clients.md shows: it
// learns of the namespace, seals, creates, imports, reads, submits, is refused.
func TestNodeClient(t *testing.T) {
	t.Parallel()
	const secret = "canary-client-secret"
	op := model.New(model.Options{Kind: model.Strict, ClientID: "node", ClientSecret: secret, Lifetime: time.Hour})
	refresh, at := op.Issue("owner"), testenv.Listen(t, op)
	d := startDev(t, t.TempDir(), "--no-seed")
	cmd := testenv.NodeClient(t, "NATS_URL="+d.at.NATS, "TOKEN_ENDPOINT="+at+"/token", "AUTHORIZATION_ENDPOINT="+at+"/authorize",
		"CLIENT_ID=node", "CLIENT_SECRET="+secret, "REFRESH_TOKEN="+refresh)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	want := strings.Join([]string{
		fmt.Sprintf("info outlink %d commands", len(commands.Names())),
		"created outlink.link.created.v1, again at the same sequence: true",
		"imported outlink.grant.token_issued.v1",
		"token Bearer generation 2, given: true",
		"submitted to OUTLINK_SUBMITTED, outcome outlink.link.disabled.v1",
		"refused failed_precondition",
		"",
	}, "\n")
	if err != nil || string(out) != want {
		t.Errorf("%v, printed\n%s\nwant\n%s", err, out, want)
	}
	d.interrupt()
	if log := d.err.String(); strings.Contains(log, secret) || strings.Contains(log, refresh) {
		t.Error("a secret is in the binary's log")
	}
}

// What docs/clients.md shows of Node is what runs here.
func TestClientsPageShowsWhatRuns(t *testing.T) {
	page, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../../internal/testenv/peer/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```js\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatal("the page shows nothing")
	}
	for _, b := range blocks {
		for line := range strings.Lines(string(b[1])) {
			if !strings.Contains(string(script), line) {
				t.Errorf("client.mjs has no line %q", line)
			}
		}
	}
}
