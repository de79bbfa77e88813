package node_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/internal/node"
	"outlink/workers/erasure"
)

// overtaken is a vault before whose next write something else happens, as on another
// node.
type overtaken struct {
	commands.Vault
	credential, secret func()
}

func (o *overtaken) StoreCredential(ctx context.Context, key domain.Key, c commands.Credential, after uint64) error {
	if then := o.credential; then != nil {
		o.credential = nil
		then()
	}
	return o.Vault.StoreCredential(ctx, key, c, after)
}

func (o *overtaken) StoreClientSecret(ctx context.Context, link uuid.UUID, generation uint64, s domain.Secret) error {
	if then := o.secret; then != nil {
		o.secret = nil
		then()
	}
	return o.Vault.StoreClientSecret(ctx, link, generation, s)
}

// slow is the commands of a node that o befalls.
func (i *installation) slow(o *overtaken) *commands.Service {
	s := *i.node.Commands
	o.Vault, s.Vault = s.Vault, o
	return &s
}

func header() commands.Header { return commands.Header{CommandID: uuid.New()} }

func inClear(s string) domain.SecretInput { return domain.SecretInput{Clear: domain.NewSecret(s)} }

// left lists what the buckets of keys and boxes have of a link.
func (i *installation) left(link uuid.UUID) (names []string) {
	i.t.Helper()
	for _, name := range []string{i.node.Namespace.Keys(), i.node.Namespace.Vault()} {
		kv, err := i.js().KeyValue(i.ctx(), name)
		if err != nil {
			i.t.Fatal(err)
		}
		for _, of := range []string{"link." + link.String(), "link." + link.String() + ".*", "grant." + link.String() + ".*"} {
			lister, err := kv.ListKeysFiltered(i.ctx(), of)
			if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
				i.t.Fatal(err)
			}
			for key := range lister.Keys() {
				names = append(names, name+" "+key)
			}
		}
	}
	return names
}

// empties waits until nothing of a link is left.
func (i *installation) empties(link uuid.UUID) {
	i.t.Helper()
	for ctx := i.ctx(); ; time.Sleep(10 * time.Millisecond) { // the node erases
		left := i.left(link)
		if len(left) == 0 {
			return
		}
		if ctx.Err() != nil {
			i.t.Fatalf("of the link there is %v", left)
		}
	}
}

func (i *installation) delete(link uuid.UUID) {
	i.t.Helper()
	i.do("DeleteLink", commands.DeleteLink{Header: header(), Link: link})
	i.empties(link)
}

func (i *installation) revokeAndErase(key domain.Key) {
	i.t.Helper()
	i.do("RevokeGrant", commands.RevokeGrant{Header: header(), GrantRef: commands.GrantRef{Link: key.Link, Grant: key.Grant}})
	erased := grant.Kinds.Type(grant.Erased{})
	i.eventually("erased", func(r domain.Record) bool { return r.Type == erased && r.Grant == key.Grant })
}

// slowly has the next token request wait for its answer. It delivers the refresh
// token that is in it.
func (o *op) slowly() (came chan string, answer chan struct{}) {
	came, answer = make(chan string, 1), make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.odd = append(o.odd, func(w http.ResponseWriter, secret string) {
		came <- secret
		<-answer
		_, _ = io.WriteString(w, `{"access_token":"of-the-revoked-consent","token_type":"bearer","expires_in":3600,"refresh_token":"`+secret+`"}`)
	})
	return came, answer
}

// revokes waits until a token was revoked.
func (o *op) revokes(i *installation, token string) {
	i.t.Helper()
	for ctx := i.ctx(); ; time.Sleep(10 * time.Millisecond) { // the node does it
		if _, was := o.revoked.Load(token); was {
			return
		}
		if ctx.Err() != nil {
			i.t.Fatal("the late token was not revoked")
		}
	}
}

// A grant is revoked while its refresh is on its way, and somebody begins to authorize
// it anew: the answer is not served.
func TestRevokedDuringRefresh(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	came, answer := o.slowly()
	out := i.do("RecordTokenIssued", map[string]any{"command_id": uuid.New(), "link_id": id, "refresh_token": "rt"})
	key := domain.Key{Link: id, Grant: out.Grant}
	late := <-came
	i.revokeAndErase(key)
	i.do("BeginAuthorization", commands.BeginAuthorization{Header: header(), Link: id})
	close(answer)
	o.revokes(i, late)
	if token, err := i.c.Token(i.ctx(), id, "", 0); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("served generation %d, %v", token.Generation, err)
	}
}

// The same while a person's code is exchanged.
func TestRevokedDuringExchange(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	came, answer := o.slowly()
	begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: header(), Link: id})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan int, 1)
	go func() {
		status := 0
		if res, err := (&http.Client{Jar: jar}).Get(begun.AuthorizationURL); err == nil {
			status = res.StatusCode
			_ = res.Body.Close()
		}
		seen <- status
	}()
	late := <-came
	i.revokeAndErase(domain.Key{Link: id, Grant: begun.Grant})
	i.do("BeginAuthorization", commands.BeginAuthorization{Header: header(), Link: id})
	close(answer)
	if status := <-seen; status != http.StatusPreconditionFailed {
		t.Errorf("the person sees a page with status %d", status)
	}
	o.revokes(i, late)
	if token, err := i.c.Token(i.ctx(), id, "", 0); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("served generation %d, %v", token.Generation, err)
	}
}

// A grant is revoked and erased while its first token is about to be stored.
func TestRevokedBeforeItsTokenIsStored(t *testing.T) {
	i := start(t)
	id := i.createLink(newOP(t, 3600), "crm")
	begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: header(), Link: id})
	key, o := domain.Key{Link: id, Grant: begun.Grant}, &overtaken{}
	slow := i.slow(o)
	if _, err := slow.ConsumeAuthorization(i.ctx(), commands.ConsumeAuthorization{Header: header(), Key: key, Authorization: begun.Authorization}); err != nil {
		t.Fatal(err)
	}
	o.credential = func() { i.revokeAndErase(key) }
	_, err := slow.IssueToken(i.ctx(), header(), commands.NewToken{
		Key: key, Subject: "default", Exchange: begun.Authorization, Cause: grant.ByAuthorization, ReceivedAt: time.Now(),
		Token: answer.Token{AccessToken: domain.NewSecret("at"), RefreshToken: domain.NewSecret("rt"), TokenType: "Bearer", Lifetime: time.Hour},
	})
	if domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("the late token: %v", err)
	}
	if left := i.left(id); slices.ContainsFunc(left, func(name string) bool {
		return name == i.node.Namespace.Keys()+" grant."+id.String()+"."+key.Grant.String()
	}) {
		t.Errorf("the grant's key is there again: %v", left)
	}
	i.do("BeginAuthorization", commands.BeginAuthorization{Header: header(), Link: id})
	if token, err := i.c.Token(i.ctx(), id, "", 0); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("served generation %d, %v", token.Generation, err)
	}
}

// What is begun or kept while its link is deleted is erased with it, or refused.
func TestBesideTheDeletionOfALink(t *testing.T) {
	i := start(t)
	for name, f := range map[string]func(id uuid.UUID, slow *commands.Service, o *overtaken) error{
		"a client secret": func(id uuid.UUID, slow *commands.Service, o *overtaken) error {
			o.secret = func() { i.delete(id) }
			_, err := slow.ReplaceClientSecret(i.ctx(), commands.ReplaceClientSecret{Header: header(), Link: id, ClientSecret: inClear("late")})
			return err
		},
		"an import": func(id uuid.UUID, slow *commands.Service, o *overtaken) error {
			o.credential = func() { i.do("DeleteLink", commands.DeleteLink{Header: header(), Link: id}) }
			_, err := slow.RecordTokenIssued(i.ctx(), commands.RecordTokenIssued{Header: header(), Link: id, RefreshToken: inClear("rt"), AccessToken: inClear("at"), ExpiresAt: time.Now().Add(time.Hour)})
			return err
		},
		"an authorization that is repeated": func(id uuid.UUID, slow *commands.Service, _ *overtaken) error {
			begin := commands.BeginAuthorization{Header: header(), Link: id}
			i.do("BeginAuthorization", begin)
			i.delete(id)
			_, err := slow.BeginAuthorization(i.ctx(), begin)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			id, o := i.createLink(newOP(t, 3600), name), &overtaken{}
			if err := f(id, i.slow(o), o); name != "an import" && err == nil {
				t.Error("it is not refused")
			}
			i.empties(id)
			if _, err := i.c.Token(i.ctx(), id, "", 0); err == nil {
				t.Error("a token of a deleted link is served")
			}
		})
	}
}

// Of two who erase a grant one is late, and the person has authorized it anew: that
// stays.
func TestErasedTwice(t *testing.T) {
	i := startWith(t, func(c *node.Config) { c.Roles = []string{"api", "commands", "projections"} })
	id := i.createLink(newOP(t, 3600), "crm")
	record := func(token string) commands.Outcome {
		return i.do("RecordTokenIssued", map[string]any{"command_id": uuid.New(), "link_id": id, "refresh_token": token})
	}
	key := domain.Key{Link: id, Grant: record("old").Grant}
	i.do("RevokeGrant", commands.RevokeGrant{Header: header(), GrantRef: commands.GrantRef{Link: id}})
	revoked := domain.Record{Type: grant.Kinds.Type(grant.Revoked{}), Link: id, Grant: key.Grant, Time: time.Now()}
	worker := func(at revoking) *erasure.Worker {
		return &erasure.Worker{Commands: i.node.Commands, Vault: i.node.Vault, Endpoint: at, Node: "n", Log: slog.New(slog.DiscardHandler)}
	}
	slowly := worker(func() error {
		err := worker(func() error { return nil }).Handle(i.ctx(), revoked)
		record("new")
		return err
	})
	if err := slowly.Handle(i.ctx(), revoked); domain.CodeOf(err) != domain.Unavailable {
		t.Errorf("the late one: %v", err)
	}
	if err := slowly.Handle(i.ctx(), revoked); err != nil { // it comes again
		t.Error(err)
	}
	at, c, err := i.node.Commands.Complete(i.ctx(), key)
	if err != nil || c.RefreshToken.Reveal() != "new" {
		t.Errorf("the grant is %s, and its new refresh token there: %t, %v", at.State.Status(), c.RefreshToken.Reveal() == "new", err)
	}
}

// A client secret that is refused in the end has not taken the place of the one that
// was accepted meanwhile.
func TestRefusedSecretDoesNotCount(t *testing.T) {
	i := start(t)
	id, o := i.createLink(newOP(t, 3600), "crm"), &overtaken{}
	slow := i.slow(o)
	o.secret = func() {
		i.do("ReplaceClientSecret", map[string]any{"command_id": uuid.New(), "link_id": id, "client_secret": "accepted"})
	}
	one := uint64(1)
	_, err := slow.ReplaceClientSecret(i.ctx(), commands.ReplaceClientSecret{Header: commands.Header{CommandID: uuid.New(), ExpectedVersion: &one}, Link: id, ClientSecret: inClear("refused")})
	if err == nil {
		t.Error("a secret that expects an older version is not refused")
	}
	if s, err := i.node.Vault.ClientSecret(i.ctx(), id, 2); s.Reveal() != "accepted" {
		t.Errorf("the second generation is %q, %v", s.Reveal(), err)
	}
}

// revoking is a revocation endpoint.
type revoking func() error

func (f revoking) Revoke(context.Context, provider.Registration, domain.Secret, string) error {
	return f()
}
