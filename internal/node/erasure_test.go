package node_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/workers/erasure"
)

// imported gives a link's subject a token.
func (i *installation) imported(link uuid.UUID, subject, refreshToken string) domain.Key {
	i.t.Helper()
	o := i.do("RecordTokenIssued", map[string]any{"command_id": uuid.New(), "link_id": link, "subject": subject, "refresh_token": refreshToken})
	return domain.Key{Link: link, Grant: o.Grant}
}

// eraser erases with a vault of its own, and asks at.
func (i *installation) eraser(s *commands.Service, vault erasure.Shredder, at revoking) *erasure.Worker {
	return &erasure.Worker{Commands: s, Vault: vault, Endpoint: at, Node: "n", Log: slog.New(slog.DiscardHandler)}
}

func revokedAt(key domain.Key, at time.Time) domain.Record {
	return domain.Record{Type: grant.Kinds.Type(grant.Revoked{}), Link: key.Link, Grant: key.Grant, Time: at}
}

func willing() error { return nil }

// making is a vault before whose next new key something else happens.
type making struct {
	commands.Vault
	then func()
}

func (m *making) MakeKey(ctx context.Context, key domain.Key, erased bool) (bool, error) {
	if then := m.then; then != nil {
		m.then = nil
		then()
	}
	return m.Vault.MakeKey(ctx, key, erased)
}

// shredding is a vault around whose shredding something else happens.
type shredding struct {
	erasure.Shredder
	before, after func()
}

func (s shredding) Doomed(ctx context.Context, key domain.Key) (func(context.Context) (bool, error), error) {
	shred, err := s.Shredder.Doomed(ctx, key)
	return func(ctx context.Context) (bool, error) {
		s.before()
		defer s.after()
		return shred(ctx)
	}, err
}

// A command that looked at the grant before it was revoked makes its key anew between
// the first eraser's shredding and its event. A second eraser sees that key and is
// late: the person has authorized the grant anew meanwhile, and that stays.
func TestKeyOfALateCommand(t *testing.T) {
	i := startWith(t, withoutWorkers)
	key := i.imported(i.createLink(newOP(t, 3600), "crm"), "default", "old")
	revoked := revokedAt(key, time.Now())
	shredded, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	first := i.eraser(i.node.Commands, shredding{i.node.Vault, func() {}, func() { close(shredded); <-goOn }}, willing)
	slow := *i.node.Commands
	slow.Vault = &making{Vault: slow.Vault, then: func() {
		i.do("RevokeGrant", commands.RevokeGrant{Header: header(), GrantRef: commands.GrantRef{Link: key.Link}})
		go func() { done <- first.Handle(i.ctx(), revoked) }()
		<-shredded
	}}
	if _, err := slow.BeginAuthorization(i.ctx(), commands.BeginAuthorization{Header: header(), Link: key.Link}); domain.CodeOf(err) != domain.Unavailable {
		t.Error("the late command:", err)
	}
	second := i.eraser(i.node.Commands, shredding{i.node.Vault, func() {
		close(goOn)
		if err := <-done; err != nil {
			t.Error("the first eraser:", err)
		}
		i.imported(key.Link, "default", "new")
	}, func() {}}, willing)
	if err := second.Handle(i.ctx(), revoked); domain.CodeOf(err) != domain.Unavailable {
		t.Error("the second eraser:", err)
	}
	if at, c, err := i.node.Commands.Complete(i.ctx(), key); err != nil || c.RefreshToken.Reveal() != "new" {
		t.Errorf("the grant is %s, and its new refresh token there: %t, %v", at.State.Status(), c.RefreshToken.Reveal() == "new", err)
	}
}

// An import that looked at the grant before it was revoked and erased stores nothing
// under a key that it made anew.
func TestImportBesideAnErasure(t *testing.T) {
	i := startWith(t, withoutWorkers)
	key := i.imported(i.createLink(newOP(t, 3600), "crm"), "default", "old")
	slow := *i.node.Commands
	slow.Vault = &making{Vault: slow.Vault, then: func() {
		i.do("RevokeGrant", commands.RevokeGrant{Header: header(), GrantRef: commands.GrantRef{Link: key.Link}})
		if err := i.eraser(i.node.Commands, i.node.Vault, willing).Handle(i.ctx(), revokedAt(key, time.Now())); err != nil {
			t.Error(err)
		}
	}}
	_, err := slow.RecordTokenIssued(i.ctx(), commands.RecordTokenIssued{Header: header(), Link: key.Link, RefreshToken: inClear("late")})
	if domain.CodeOf(err) != domain.Unavailable {
		t.Error("the import:", err)
	}
	if _, c, err := i.node.Commands.Complete(i.ctx(), key); err != nil || !c.RefreshToken.IsZero() {
		t.Errorf("the vault has %v, %v", c.RefreshToken, err)
	}
}

// away is a vault that does not answer for a while.
type away struct {
	commands.Vault
	times int
}

func (a *away) Credential(ctx context.Context, key domain.Key) (commands.Credential, uint64, error) {
	if a.times--; a.times >= 0 {
		return commands.Credential{}, 0, domain.Errorf(domain.Unavailable, "the key service is away")
	}
	return a.Vault.Credential(ctx, key)
}

// An erasure waits for the vault from its first try on, however old the revocation is,
// and not for ever.
func TestPatienceOfAnErasure(t *testing.T) {
	i := startWith(t, withoutWorkers)
	link := i.createLink(newOP(t, 3600), "crm")
	for subject, tt := range map[string]struct {
		later time.Duration // of the second try
		asked int
	}{"soon": {9 * time.Minute, 1}, "late": {11 * time.Minute, 0}} {
		key, asked, s := i.imported(link, subject, "rt"), 0, *i.node.Commands
		i.do("RevokeGrant", commands.RevokeGrant{Header: header(), GrantRef: commands.GrantRef{Link: link, Subject: subject}})
		vault := &away{Vault: s.Vault, times: 1}
		s.Vault = vault
		w, revoked := i.eraser(&s, i.node.Vault, func() error { asked++; return nil }), revokedAt(key, time.Now().Add(-time.Hour))
		if err := w.Handle(i.ctx(), revoked); domain.CodeOf(err) != domain.Unavailable {
			t.Errorf("%s: the first try: %v", subject, err)
		}
		s.Now = func() time.Time { return time.Now().Add(tt.later) }
		vault.times = 1 - tt.asked
		if err := w.Handle(i.ctx(), revoked); err != nil || asked != tt.asked {
			t.Errorf("%s: the second try: %v; the provider was asked %d times", subject, err, asked)
		}
		if at, err := s.Grants.Load(i.ctx(), key); err != nil || !at.State.Shredded {
			t.Errorf("%s: it is not erased, %v", subject, err)
		}
	}
}

// killed is a vault after whose next credential the node dies.
type killed struct{ commands.Vault }

func (k killed) StoreCredential(ctx context.Context, key domain.Key, c commands.Credential, after uint64) error {
	return errors.Join(k.Vault.StoreCredential(ctx, key, c, after), errors.New("killed"))
}

// An import that came to the vault and no further does not outlive its link.
func TestImportCutOffAndItsLink(t *testing.T) {
	i := start(t)
	id, s := i.createLink(newOP(t, 3600), "crm"), *i.node.Commands
	s.Vault = killed{s.Vault}
	if _, err := s.RecordTokenIssued(i.ctx(), commands.RecordTokenIssued{Header: header(), Link: id, RefreshToken: inClear("rt")}); err == nil {
		t.Fatal("it was not killed")
	}
	i.do("DeleteLink", commands.DeleteLink{Header: header(), Link: id})
	i.empties(id)
}

// A grant that this version cannot decode keeps none of the others of a deleted link
// alive.
func TestUndecodableGrantOfADeletedLink(t *testing.T) {
	i := start(t)
	id := i.createLink(newOP(t, 3600), "crm")
	newer(i, i.node.Commands.Grants, "grant", i.imported(id, "bad", "rt-bad"))
	good := i.imported(id, "good", "rt-good")
	i.do("DeleteLink", commands.DeleteLink{Header: header(), Link: id})
	i.eventually("the other one erased", func(r domain.Record) bool { return r.Type == grant.Kinds.Type(grant.Erased{}) && r.Grant == good.Grant })
}

// The first try of a node found the vault away, and another node erased the grant. When
// it was authorized and revoked again, the node waits anew.
func TestPatienceBeginsAnew(t *testing.T) {
	i := startWith(t, withoutWorkers)
	link, s := i.createLink(newOP(t, 3600), "crm"), *i.node.Commands
	vault := &away{Vault: s.Vault}
	s.Vault = vault
	w := i.eraser(&s, i.node.Vault, willing)
	for _, passed := range []time.Duration{0, 15 * time.Minute} {
		key := i.imported(link, "default", "rt"+passed.String())
		i.do("RevokeGrant", commands.RevokeGrant{Header: header(), GrantRef: commands.GrantRef{Link: link}})
		s.Now = func() time.Time { return time.Now().Add(passed) }
		vault.times = 1
		if err := w.Handle(i.ctx(), revokedAt(key, s.Now())); domain.CodeOf(err) != domain.Unavailable {
			t.Errorf("after %s: %v", passed, err)
		}
		if err := i.eraser(i.node.Commands, i.node.Vault, willing).Handle(i.ctx(), revokedAt(key, s.Now())); err != nil { // the other node
			t.Fatal(err)
		}
		if err := w.Handle(i.ctx(), revokedAt(key, s.Now())); err != nil { // it comes again
			t.Fatal(err)
		}
	}
}

func deletedAt(id uuid.UUID) domain.Record {
	return domain.Record{Type: link.Kinds.Type(link.Deleted{}), Link: id, Time: time.Now()}
}

// Many grants of a deleted link cannot be decoded, and the vault is away for another: that
// one counts, for it passes; what cannot be decoded is set aside after a few tries.
func TestAwayBesideUndecodable(t *testing.T) {
	i := startWith(t, withoutWorkers)
	id, s := i.createLink(newOP(t, 3600), "crm"), *i.node.Commands
	var keys []domain.Key
	for n := range 20 {
		keys = append(keys, i.imported(id, fmt.Sprint("bad", n), fmt.Sprint("rt-bad", n)))
		newer(i, i.node.Commands.Grants, "grant", keys[n])
	}
	good := i.imported(id, "good", "rt-good")
	i.do("DeleteLink", commands.DeleteLink{Header: header(), Link: id})
	s.Vault = &away{Vault: s.Vault, times: 1}
	w := i.eraser(&s, i.node.Vault, willing)
	w.GrantsOf = func(context.Context, uuid.UUID) ([]domain.Key, error) { return append(keys, good), nil }
	for _, undecodable := range []bool{false, true} {
		if err := w.Handle(i.ctx(), deletedAt(id)); err == nil || errors.Is(err, domain.ErrUndecodable) != undecodable {
			t.Errorf("it counts as undecodable: %t, want %t; %v", !undecodable, undecodable, err)
		}
	}
	if at, err := s.Grants.Load(i.ctx(), good); err != nil || !at.State.Shredded {
		t.Errorf("the good one is %s, %v", at.State.Status(), err)
	}
}

// What an import left in the vault is revoked at the provider once, also when the key
// service is away for a moment.
func TestLeftInTheVault(t *testing.T) {
	i := startWith(t, withoutWorkers)
	id, s := i.createLink(newOP(t, 3600), "crm"), *i.node.Commands
	s.Vault = killed{s.Vault}
	if _, err := s.RecordTokenIssued(i.ctx(), commands.RecordTokenIssued{Header: header(), Link: id, RefreshToken: inClear("rt")}); err == nil {
		t.Fatal("it was not killed")
	}
	i.do("DeleteLink", commands.DeleteLink{Header: header(), Link: id})
	s.Vault, s.Now = &away{Vault: i.node.Vault, times: 1}, time.Now
	asked := 0
	w := i.eraser(&s, i.node.Vault, func() error { asked++; return nil })
	w.GrantsOf = func(context.Context, uuid.UUID) ([]domain.Key, error) { return nil, nil }
	if err := w.Handle(i.ctx(), deletedAt(id)); domain.CodeOf(err) != domain.Unavailable {
		t.Error("the first try:", err)
	}
	if err := w.Handle(i.ctx(), deletedAt(id)); err != nil || asked != 1 {
		t.Errorf("the second try: %v; the provider was asked %d times", err, asked)
	}
	i.empties(id)
}

// The vault has lost a refresh token, and the import of it brings it back.
func TestImportOfALostToken(t *testing.T) {
	i := startWith(t, withoutWorkers)
	key := i.imported(i.createLink(newOP(t, 3600), "crm"), "default", "rt")
	kv, err := i.js().KeyValue(i.ctx(), i.node.Namespace.Vault())
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(i.ctx(), "grant."+key.Link.String()+"."+key.Grant.String()); err != nil {
		t.Fatal(err)
	}
	i.imported(key.Link, "default", "rt")
	if _, c, err := i.node.Commands.Complete(i.ctx(), key); err != nil || c.RefreshToken.Reveal() != "rt" {
		t.Errorf("it is there: %t, %v", !c.RefreshToken.IsZero(), err)
	}
}
