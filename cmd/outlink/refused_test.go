package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// What NATS refuses is said at once, with the exit code of what is not allowed; a
// file that is no user's is a mistake on the command line.
func TestRefusedByNATS(t *testing.T) {
	nothing := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{">"}}}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, Users: []*server.User{{Username: "u", Password: "p", Permissions: nothing}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	at, as := s.ClientURL(), "nats://u:p@"+s.Addr().String()
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"link ls --server " + at: {4, "does not let this user in"},
		"serve --http 127.0.0.1:0 --journal " + t.TempDir() + " --server " + at: {4, "does not let this user in"},
		"link ls --server " + as:                                              {4, `"outlink.query.ListLinks"`},
		"events ls --server " + as:                                            {4, `"$JS.API.STREAM.INFO.OUTLINK_EVENTS"`},
		"link ls --server " + at + " --nats-creds " + bad:                     {2, "nats-creds"},
		"link ls --server " + at + " --nats-creds /none":                      {2, "nats-creds"},
		"link ls --server " + at + " --nats-nkey " + bad:                      {2, "seed"},
		"link ls --server " + at + " --tls-ca " + bad:                         {2, "tls-ca"},
		"link ls --server " + at + " --tls-cert " + bad + " --tls-key " + bad: {2, "tls-cert"},
	} {
		began := time.Now()
		code, _, errOut := cli(t, strings.Fields(args)...)
		if code != want.code || !strings.Contains(errOut, want.says) || time.Since(began) > 4*time.Second {
			t.Errorf("outlink %s: exit %d after %s, want %d at once with %q in\n%s", args, code, time.Since(began), want.code, want.says, errOut)
		}
	}
}
