package node_test

import (
	"log/slog"
	"testing"
	"time"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/internal/node"
	"outlink/workers/refresh"
)

// consented is a person's consent on its way: the code is being exchanged.
func consented(i *installation, s *commands.Service, key domain.Key, refreshToken string) commands.NewToken {
	i.t.Helper()
	begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: header(), Link: key.Link})
	s.Now = func() time.Time { return begun.ExpiresAt.Add(-time.Second) }
	if _, err := s.ConsumeAuthorization(i.ctx(), commands.ConsumeAuthorization{Header: header(), Key: key, Authorization: begun.Authorization}); err != nil {
		i.t.Fatal(err)
	}
	s.Now = func() time.Time { return *begun.ExpiresAt }
	return commands.NewToken{
		Key: key, Subject: grant.DefaultSubject, Exchange: begun.Authorization, Cause: grant.ByAuthorization, ReceivedAt: *begun.ExpiresAt,
		Token: answer.Token{AccessToken: domain.NewSecret("at"), RefreshToken: domain.NewSecret(refreshToken), TokenType: "Bearer", Lifetime: time.Hour},
	}
}

func withoutWorkers(c *node.Config) { c.Roles = []string{"api", "commands", "projections"} }

// A person comes back in the last of the ten minutes, and they are over while the
// code is exchanged: the token is taken, for the consent was given.
func TestConsentOfTheLastSecond(t *testing.T) {
	i := startWith(t, withoutWorkers)
	id := i.createLink(newOP(t, 3600), "crm")
	key := domain.Key{Link: id, Grant: grant.ID(id, grant.DefaultSubject)}
	s := *i.node.Commands
	token := consented(i, &s, key, "rt")
	w := &refresh.Worker{Commands: &s, Node: "n", Log: slog.New(slog.DiscardHandler)}
	if err := w.Handle(i.ctx(), key); err != nil {
		t.Fatal(err)
	}
	if at, err := s.Grants.Load(i.ctx(), key); err != nil || at.State.Reauthorize != grant.AuthorizationExpired {
		t.Fatalf("the worker left %q, %v", at.State.Reauthorize, err)
	}
	if _, err := s.IssueToken(i.ctx(), header(), token); err != nil {
		t.Error("the token is refused:", err)
	}
	if at, c, err := s.Complete(i.ctx(), key); err != nil || at.State.Status() != grant.StatusActive || c.RefreshToken.Reveal() != "rt" {
		t.Errorf("the grant is %s, with %v, %v", at.State.Status(), c.RefreshToken, err)
	}
}

// An authorization is given up between the look at the grant and the writing of its
// token over the one that the grant lives by: the token counts.
func TestAuthorizationEndsBesideItsToken(t *testing.T) {
	i := startWith(t, withoutWorkers)
	id := i.createLink(newOP(t, 3600), "crm")
	begun := i.do("RecordTokenIssued", map[string]any{"command_id": header().CommandID, "link_id": id, "refresh_token": "live"})
	key, o := domain.Key{Link: id, Grant: begun.Grant}, &overtaken{}
	slow := i.slow(o)
	token := consented(i, slow, key, "late")
	o.credential = func() {
		if _, err := i.node.Commands.FailAuthorization(i.ctx(), commands.FailAuthorization{Header: header(), Key: key, Authorization: token.Exchange, Reason: grant.ExchangeFailed}); err != nil {
			t.Error(err)
		}
	}
	if _, err := slow.IssueToken(i.ctx(), header(), token); err != nil {
		t.Error("the token is refused:", err)
	}
	if at, c, err := slow.Complete(i.ctx(), key); err != nil || at.State.Status() != grant.StatusActive || c.RefreshToken.Reveal() != "late" {
		t.Errorf("the grant is %s, with %v, %v", at.State.Status(), c.RefreshToken, err)
	}
}

// Whatever came into the vault without being the grant's, the next token takes its place.
func TestOrphanInTheVault(t *testing.T) {
	i := startWith(t, withoutWorkers)
	id := i.createLink(newOP(t, 3600), "crm")
	begun := i.do("RecordTokenIssued", map[string]any{"command_id": header().CommandID, "link_id": id, "refresh_token": "live"})
	key, s := domain.Key{Link: id, Grant: begun.Grant}, *i.node.Commands
	_, revision, err := s.Vault.Credential(i.ctx(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Vault.StoreCredential(i.ctx(), key, commands.Credential{
		Issued:       grant.TokenIssued{Exchange: header().CommandID, Cause: grant.ByAuthorization, Generation: 2, Subject: grant.DefaultSubject},
		RefreshToken: domain.NewSecret("orphan"),
	}, revision); err != nil {
		t.Fatal(err)
	}
	if at, c, err := s.Complete(i.ctx(), key); err != nil || at.State.Generation != 1 || !c.RefreshToken.IsZero() {
		t.Errorf("generation %d with %v, %v", at.State.Generation, c.RefreshToken, err)
	}
	if _, err := s.IssueToken(i.ctx(), header(), consented(i, &s, key, "newer")); err != nil {
		t.Error("a new authorization does not help:", err)
	}
	if _, c, err := s.Complete(i.ctx(), key); err != nil || c.RefreshToken.Reveal() != "newer" {
		t.Errorf("the vault has %v, %v", c.RefreshToken, err)
	}
}
