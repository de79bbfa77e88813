package authorize_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/oauth"
	"outlink/workers/authorize"
)

// befalling is a vault before which something happens once, and which then may be away.
type befalling struct {
	commands.Vault
	before func(context.Context) error
}

func (v *befalling) StoreCredential(ctx context.Context, key domain.Key, c commands.Credential, after uint64) error {
	if f := v.before; f != nil {
		v.before = nil
		if err := f(ctx); err != nil {
			return err
		}
	}
	return v.Vault.StoreCredential(ctx, key, c, after)
}

// The vault is away when the code was exchanged, which the provider does once, or a call
// hangs, as while its connection is made anew: the person waits a moment, and need not
// start again.
func TestVaultAwayForACode(t *testing.T) {
	for name, before := range map[string]func(context.Context){"away": func(context.Context) {}, "hangs": func(ctx context.Context) { <-ctx.Done() }} {
		t.Run(name, func(t *testing.T) { t.Parallel(); vaultAwayForACode(t, before) })
	}
}

func vaultAwayForACode(t *testing.T, before func(context.Context)) {
	t.Helper()
	b := newBooth(t, issued)
	svc := b.node.Commands
	begun, err := svc.BeginAuthorization(t.Context(), commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: b.key.Link})
	if err != nil {
		t.Fatal(err)
	}
	state, err := svc.Handle(t.Context(), commands.StateHandle, b.key, begun.Authorization)
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := svc.Handle(t.Context(), commands.CookieHandle, b.key, begun.Authorization)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	svc.Vault = &befalling{svc.Vault, func(ctx context.Context) error {
		close(asked)
		before(ctx)
		return domain.Errorf(domain.Unavailable, "the vault is away")
	}}
	flow := authorize.Flow{Commands: svc, Endpoints: oauth.New(oauth.Options{Loopback: true}), Node: "n", Log: slog.New(slog.DiscardHandler)}
	done := make(chan error, 1)
	go func() {
		_, err := flow.Complete(t.Context(), authorize.Callback{
			Link: b.key.Link, State: state, Code: domain.NewSecret("hush"), Cookie: func(uuid.UUID) string { return cookie },
		})
		done <- err
	}()
	<-asked
	flow.Wait() // as a node does that ends
	err = <-done
	if s := b.state(); err != nil || b.asked != 1 || s.Status() != grant.StatusActive {
		t.Errorf("%v; asked %d times; the grant is %s (%s)", err, b.asked, s.Status(), s.Reauthorize)
	}
}
