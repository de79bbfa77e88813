package tokens_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/node"
	"outlink/internal/testenv"
	"outlink/internal/tokens"
)

// A foreign message counts as a change that is looked at once: it keeps no token
// out of memory, and changes none.
func TestTokensBehindForeignMessages(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n", node.RoleCommands)
	out, err := n.Commands.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{Header: commands.Header{CommandID: uuid.New()}, Draft: commands.Draft{
		Name: "crm", Provider: "custom", ClientID: "id", AuthStyle: "none", AuthorizationEndpoint: "https://op.example.com/a", TokenEndpoint: "https://op.example.com/t",
	}})
	if err != nil {
		t.Fatal(err)
	}
	issued, err := n.Commands.RecordTokenIssued(t.Context(), commands.RecordTokenIssued{
		Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, ExpiresAt: time.Now().Add(time.Hour),
		AccessToken: domain.SecretInput{Clear: domain.NewSecret("access-token-0123456789")}, RefreshToken: domain.SecretInput{Clear: domain.NewSecret("refresh-token-0123456789")},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &tokens.Server{Commands: n.Commands, Wait: time.Second, Cache: tokens.NewCache(10), Audit: &tokens.Audit{Log: slog.New(slog.DiscardHandler)}}
	ctx, cancel := context.WithCancel(t.Context())
	var hearing sync.WaitGroup
	hearing.Go(func() { _ = s.Cache.Run(ctx, n.Feed.Changes, slog.New(slog.DiscardHandler)) })
	defer hearing.Wait()
	defer cancel()
	request := tokens.Request{Link: out.Link}
	kept := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if _, ok := s.Cached(request); ok == want {
				return
			}
			if got, err := s.Get(t.Context(), request); want && (err != nil || got.Generation != 1) || time.Now().After(deadline) {
				t.Fatalf("the token is kept: %t; got generation %d, %v", !want, got.Generation, err)
			}
		}
	}
	kept(true)
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{n.Namespace.GrantEvents(out.Link, issued.Grant), n.Namespace.LinkEvents(out.Link)} {
		if _, err := nc.Request(subject, []byte("junk"), 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	request.MinSequence = issued.Sequence + 2 // so that it was heard of
	kept(true)
}
