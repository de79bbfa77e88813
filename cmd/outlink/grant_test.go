package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shape is the names of the members of a JSON object, sorted.
func shape(t *testing.T, members map[string]json.RawMessage) string {
	t.Helper()
	var names []string
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// A token is imported, read, and its grant revoked; what the commands print as
// JSON has the members that it had. After a restart at other ports the links lead
// to where browsers are now.
func TestGrantCommands(t *testing.T) {
	dir := t.TempDir()
	d := startDev(t, dir)
	file := filepath.Join(t.TempDir(), "token.json")
	if err := os.WriteFile(file, []byte(`{"access_token":"acc3ss","refresh_token":"r3fresh","expires_in":"3600","refresh_token_expires_in":86400,"id_token":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"link create --name crm --client-id nobody --client-secret-file " + file + " --scopes a --auth-style basic --authorization-endpoint " + d.at.Provider +
			"/authorize --token-endpoint " + d.at.Provider + "/oauth/token --revocation-endpoint " + d.at.Provider + "/revoke", 0, "link.created"},
		{"grant import crm --token-file " + file, 0, `ignored in the token file: "id_token"`},
		{"grant import crm --token-file " + file + " --subject ann", 0, "grant.token_issued"},
		{"events ls --link crm", 0, `"refresh_token_expires_at"`},
		{"token get crm", 0, "acc3ss"},
		{"token get crm --min-ttl 59m", 0, "acc3ss"}, // a new one would hardly live longer
		{"token get crm --min-ttl 0s", 0, "acc3ss"},
		{"token get crm --min-ttl 25h", 2, "use 0s to 24h"},
		{"link update crm --scopes=", 0, "register it there"},
		{"link show crm -o json", 0, `"scopes":[]`},
		{"projection status -o json", 0, `"position":`},
		{"projection status -o json", 0, `"sequence":`},
	} {
		if out, code := d.cli(strings.Fields(tt.args)...); code != tt.code || !strings.Contains(out, tt.says) {
			t.Errorf("outlink %s: exit %d, want %d with %q:\n%s", tt.args, code, tt.code, tt.says, out)
		}
	}
	for args, want := range map[string]string{
		"token get crm":                     "access_token expires_at generation scopes token_type",
		"grant authorize crm --subject bob": "authorization_id authorization_url events expires_at grant_id link_id sequence version",
	} {
		var members map[string]json.RawMessage
		if d.get(&members, strings.Fields(args)...); shape(t, members) != want {
			t.Errorf("outlink %s -o json has %s, want %s", args, shape(t, members), want)
		}
	}
	revoked(t, d)
	d.moved(dir)
}

func revoked(t *testing.T, d *dev) {
	t.Helper()
	var grants []struct {
		grantLine
		Subject string
	}
	d.get(&grants, "grant", "ls", "crm")
	for _, g := range grants {
		if g.Subject != "ann" {
			continue
		}
		if out, code := d.cli("grant", "revoke", g.Grant); code != 4 || !strings.Contains(out, "--yes") {
			t.Errorf("revoked unasked: exit %d\n%s", code, out)
		}
		if out, code := d.cli("grant", "revoke", g.Grant, "--yes", "--reason", "left"); code != 0 || !strings.Contains(out, "grant.revoked") {
			t.Errorf("revoke: exit %d\n%s", code, out)
		}
	}
	if out, code := d.cli("token", "get", "crm", "--subject", "ann"); code != 4 || !strings.Contains(out, "revoked") {
		t.Errorf("a token of a revoked grant: exit %d\n%s", code, out)
	}
}

// moved starts it again at other ports.
func (d *dev) moved(dir string) {
	d.t.Helper()
	var tail printed
	follow := binary("events", "tail", "--link", "crm", "--after", "3", "--server", d.at.NATS)
	follow.Stderr, follow.Stdout = &tail, &tail
	if err := follow.Start(); err != nil {
		d.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(tail.String(), "grant.revoked") && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond) // another process prints it
	}
	_ = follow.Process.Signal(syscall.SIGINT)
	_ = follow.Wait()
	if code := follow.ProcessState.ExitCode(); code != 130 || !strings.Contains(tail.String(), `outlink events tail --link="crm"`) || !strings.Contains(tail.String(), " --after ") {
		d.t.Errorf("the tail ended with %d:\n%s", code, tail.String())
	}
	d.interrupt()
	if _, err := os.Stat(d.ready); !os.IsNotExist(err) {
		d.t.Errorf("the ready file outlives dev: %v", err)
	}
	for line := range strings.Lines(d.err.String()) {
		if strings.Contains(line, "oidc_error") && !strings.HasPrefix(line, "{") {
			d.t.Errorf("the demo provider logs elsewhere: %s", line)
		}
	}
	next := startDev(d.t, dir)
	var shown struct {
		RedirectURL string `json:"redirect_url"`
	}
	if next.get(&shown, "link", "show", "crm"); !strings.HasPrefix(shown.RedirectURL, "http://localhost:"+port(next.at.HTTP)+"/") {
		d.t.Errorf("at %s the redirect URL is %s", next.at.HTTP, shown.RedirectURL)
	}
	next.interrupt()
}

func port(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }
