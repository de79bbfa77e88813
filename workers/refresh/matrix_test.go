package refresh_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/journal"
	"outlink/internal/natsd"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/internal/testenv/faults"
	"outlink/internal/testenv/model"
	"outlink/workers/refresh"
)

// endpoint, disk and so on are the worker's surroundings, in which the test has
// a process die or a server go away at a certain point.
type points struct {
	beforeSend func()
	inFlight   func() // the server has acted; nothing was read
	beforeKeep func() // the answer was read; nothing is on the disk
	afterKeep  func()
	beforeDrop func() // the log has it all
}

func call(f func()) {
	if f != nil {
		f()
	}
}

type endpoint struct {
	*oauth.Client
	*points
}

func (e endpoint) Refresh(ctx context.Context, r provider.Registration, token domain.Secret, guard func() error, keep func(answer.Raw) error) answer.Answer {
	call(e.beforeSend)
	if e.inFlight != nil {
		go e.Client.Refresh(context.WithoutCancel(ctx), r, token, guard, func(answer.Raw) error { return nil })
		e.inFlight()
	}
	return e.Client.Refresh(ctx, r, token, guard, func(raw answer.Raw) error {
		call(e.beforeKeep)
		return keep(raw)
	})
}

type disk struct {
	*journal.Journal
	*points
}

func (d disk) Put(id uuid.UUID, record []byte) error {
	err := d.Journal.Put(id, record)
	call(d.afterKeep)
	return err
}

func (d disk) Drop(id uuid.UUID) {
	call(d.beforeDrop)
	d.Journal.Drop(id)
}

// stage is one grant at a model server behind a proxy, and a node that refreshes.
type stage struct {
	*testing.T
	dir    string
	nats   *natsd.Server
	op     *model.Server // nil: a real one
	proxy  *faults.Proxy
	svc    *commands.Service
	link   uuid.UUID
	key    domain.Key
	now    time.Duration // ahead of the clock
	kind   provider.Rotation
	closed func()
	mu     sync.Mutex
}

func newStage(t *testing.T, kind model.Kind, declared provider.Rotation) *stage {
	t.Helper()
	return newStageBy(t, kind, declared, domain.Secret{})
}

// newStageBy is newStage where tokens are bound to a key, if one is given.
func newStageBy(t *testing.T, kind model.Kind, declared provider.Rotation, key domain.Secret) *stage {
	t.Helper()
	op := model.New(model.Options{Kind: kind, Lifetime: time.Hour})
	server := testenv.Listen(t, op)
	s := stageAt(t, server, declared, provider.Registration{
		ClientID: "id", ClientSecret: domain.NewSecret("canary-client-secret"), AuthStyle: link.Body, Scopes: []string{"a"},
		AuthorizationEndpoint: server + "/authorize", TokenEndpoint: server + "/token", RevocationEndpoint: server + "/revoke",
		DPoPKey: key,
	}, op.Issue("a"))
	s.op = op
	return s
}

// stageAt puts a proxy in front of a server, and a link and a grant before that.
func stageAt(t *testing.T, server string, declared provider.Rotation, r provider.Registration, refreshToken string) *stage {
	t.Helper()
	s := &stage{T: t, dir: t.TempDir(), kind: declared, proxy: faults.New(t, server)}
	var err error
	if s.nats, err = natsd.Start(filepath.Join(s.dir, "nats"), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.nats.Stop() })
	s.boot(&points{})
	out, err := s.svc.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()},
		Draft: commands.Draft{
			GrantTypes: grantTypes(r), Name: "stage", Provider: "custom", ClientID: r.ClientID, Scopes: r.Scopes, AuthStyle: r.AuthStyle,
			AuthorizationEndpoint: r.AuthorizationEndpoint, TokenEndpoint: s.proxy.URL + strings.TrimPrefix(r.TokenEndpoint, server),
			RevocationEndpoint: s.proxy.URL + strings.TrimPrefix(r.RevocationEndpoint, server), DPoP: !r.DPoPKey.IsZero(),
		},
		ClientSecret: domain.SecretInput{Clear: r.ClientSecret},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.link, s.key = out.Link, domain.Key{Link: out.Link, Grant: grant.ID(out.Link, "a")}
	if r.GrantType != "" {
		_, err := s.svc.RequestToken(t.Context(), commands.RequestToken{Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, Subject: "a"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := s.svc.RecordTokenIssued(t.Context(), commands.RecordTokenIssued{
		Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, Subject: "a",
		RefreshToken: domain.SecretInput{Clear: domain.NewSecret(refreshToken)},
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

// grantTypes are a link's that gets its tokens as a registration does.
func grantTypes(r provider.Registration) []link.GrantType {
	if r.GrantType == "" {
		return nil
	}
	return []link.GrantType{r.GrantType}
}

// boot starts the node, again if it has died: with its journal, and a new life.
func (s *stage) boot(p *points) *refresh.Worker {
	s.Helper()
	if s.closed != nil {
		s.closed()
	}
	n := testenv.Node(s, s.nats, s.dir, "n", "commands")
	s.svc = n.Commands
	s.svc.Catalogue = s.svc.Catalogue.With(declare(s.svc.Catalogue, s.kind))
	s.svc.Now = func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return time.Now().Add(s.now) }
	j, err := journal.Open(filepath.Join(s.dir, "answers"), 8<<20)
	if err != nil {
		s.Fatal(err)
	}
	s.closed = sync.OnceFunc(func() { _ = j.Close(); n.Close() })
	s.Cleanup(s.closed)
	w := &refresh.Worker{
		Commands: s.svc, Endpoint: endpoint{oauth.New(oauth.Options{Loopback: true}), p}, Journal: disk{j, p}, Vault: n.Vault, Gates: open{},
		Later: func(context.Context, domain.Key, time.Time) error { return nil }, Node: "n", Boot: uuid.New(), Log: slog.New(slog.DiscardHandler),
	}
	if err := w.Replay(s.Context()); err != nil {
		s.Fatal(err)
	}
	return w
}

func declare(c provider.Catalogue, r provider.Rotation) provider.Provider {
	p, _ := c.Get("custom")
	p.Rotation = r
	return p
}

// die ends the goroutine as a kill would: nothing after it happens.
func die() { runtime.Goexit() }

// handle wakes the worker for the grant; it may die on the way.
func (s *stage) handle(w *refresh.Worker) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.Handle(context.WithoutCancel(s.Context()), s.key) // what went wrong is in the log, or it is woken again
	}()
	<-done
}

func (s *stage) state() grant.State {
	s.Helper()
	at, _, err := s.svc.Complete(s.Context(), s.key)
	if err != nil {
		s.Fatal(err)
	}
	return at.State
}

// settle wakes the worker whenever the grant is due, in time that passes by
// itself, until the grant has a new token or needs a person.
func (s *stage) settle(w *refresh.Worker) grant.State {
	s.Helper()
	for range 12 {
		state := s.state()
		if state.Generation > 1 && state.Status() == grant.StatusActive || state.Reauthorize != "" || state.Unreadable != "" {
			return state
		}
		if wait := state.DueAt().Sub(s.svc.Now()); wait > 0 {
			s.mu.Lock()
			s.now += wait
			s.mu.Unlock()
		}
		s.handle(w)
	}
	s.Fatalf("the grant does not settle: %+v", s.state())
	return grant.State{}
}

type fault struct {
	name string
	// lost says on which servers the fault costs the grant: on none but those
	// where it would cost any client.
	lost func(model.Kind) bool
	run  func(s *stage)
}

func never(model.Kind) bool        { return false }
func onStrict(k model.Kind) bool   { return k == model.Strict }
func crash(p *points) func(*stage) { return func(s *stage) { s.handle(s.boot(p)) } }
func passing(f ...faults.Fault) func(*stage) {
	return func(s *stage) {
		s.proxy.Next(f...)
		s.handle(s.boot(&points{}))
	}
}

// away has JetStream gone from one point on, until some time later.
func away(dies bool) func(*stage) {
	return func(s *stage) {
		address := s.nats.URL()[len("nats://"):]
		back := make(chan struct{})
		p := &points{}
		p.afterKeep = func() {
			s.nats.Stop()
			go func() {
				defer close(back)
				time.Sleep(500 * time.Millisecond) // how long it is away is the test's input
				server, err := natsd.Start(filepath.Join(s.dir, "nats"), address)
				if err != nil {
					s.Error(err)
					return
				}
				s.nats = server
			}()
			if dies {
				die()
			}
		}
		s.handle(s.boot(p))
		<-back
	}
}

func slow(s *stage) {
	hold := make(chan struct{})
	s.proxy.Next(faults.Fault{Hold: hold})
	go func() {
		_ = s.proxy.Acted(s.Context())
		time.Sleep(400 * time.Millisecond) // longer than what others wait
		close(hold)
	}()
	s.handle(s.boot(&points{}))
}

func inFlight(s *stage) {
	s.handle(s.boot(&points{inFlight: func() { _ = s.proxy.Acted(s.Context()); die() }}))
}

func lifetime(as string) faults.Fault {
	return faults.Rewrites("expires_in "+as, "application/json", func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"expires_in":3600`), []byte(`"expires_in":`+as), 1)
	})
}

var matrix = []fault{
	{"A  crash after RefreshStarted", never, crash(&points{beforeSend: die})},
	{"B  crash while in flight", onStrict, inFlight},
	{"C  crash before the journal", onStrict, crash(&points{beforeKeep: die})},
	{"D  crash before the append", never, crash(&points{afterKeep: die})},
	{"E  crash before the job is done", never, crash(&points{beforeDrop: die})},
	{"F  JetStream away", never, away(false)},
	{"G  JetStream away, and crash", never, away(true)},
	{"N1 request cut before the server", never, passing(faults.CutBefore)},
	{"N2 response cut after rotation", onStrict, passing(faults.CutAfter)},
	{"N2 response cut in the middle", onStrict, passing(faults.CutMiddle)},
	{"N3 response slower than 300 ms", never, slow},
	{"N4 503 without acting", never, passing(faults.Says(503, "busy"))},
	{"N4 503 after acting", onStrict, passing(faults.Fault{Change: func(faults.Answer) faults.Answer { return *faults.Says(503, "busy").Instead }})},
	{"N5 expires_in 3600.0", never, passing(lifetime("3600.0"))},
	{"N5 expires_in \"3600\"", never, passing(lifetime(`"3600"`))},
	{"N6 JSON as text/plain", never, passing(faults.Rewrites("text", "text/plain", func(b []byte) []byte { return b }))},
}

var rotations = []struct {
	name     string
	kind     model.Kind
	declared provider.Rotation
}{
	{"stable", model.Stable, provider.Rotation{Kind: provider.Stable}},
	{"grace 10s", model.Grace, provider.Rotation{Kind: provider.Grace, Grace: 10 * time.Second}},
	{"strict", model.Strict, provider.Rotation{Kind: provider.Strict}},
	{"unknown: stable", model.Stable, provider.Rotation{Kind: provider.Unknown}},
	{"unknown: grace", model.Grace, provider.Rotation{Kind: provider.Unknown}},
	{"unknown: strict", model.Strict, provider.Rotation{Kind: provider.Unknown}},
}

// A page in place of an answer costs nothing where the same refresh token brings
// another one; elsewhere the grant is set aside until a person says to ask again.
func TestUnreadable(t *testing.T) {
	for _, r := range rotations {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, r.kind, r.declared)
			s.proxy.Next(faults.Says(http.StatusOK, "<html>we are back soon</html>"))
			s.handle(s.boot(&points{}))
			asks := r.declared.Kind == provider.Stable || r.declared.Kind == provider.Grace
			if aside := s.state().Unreadable != ""; aside == asks {
				t.Fatalf("set aside: %t", aside)
			}
			if !asks {
				if _, err := s.svc.RequestRefresh(t.Context(), commands.RequestRefresh{
					Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: s.key.Link, Grant: s.key.Grant}, Resend: true,
				}); err != nil {
					t.Fatal(err)
				}
			}
			if state := s.settle(s.boot(&points{})); state.Status() != grant.StatusActive || state.Generation != 2 {
				t.Errorf("the grant is %s at generation %d", state.Status(), state.Generation)
			}
		})
	}
}

// The fault matrix: what each fault costs at each kind of provider. A grant is
// lost only where no client could have kept it, and then the log says why.
func TestFaultMatrix(t *testing.T) {
	table := make([][]string, len(matrix))
	t.Run("faults", func(t *testing.T) {
		for i, f := range matrix {
			table[i] = make([]string, len(rotations))
			for k, r := range rotations {
				t.Run(f.name+"/"+r.name, func(t *testing.T) {
					t.Parallel()
					s := newStage(t, r.kind, r.declared)
					f.run(s)
					state := s.settle(s.boot(&points{}))
					table[i][k] = verdict(t, s, state, f.lost(r.kind))
				})
			}
		}
	})
	header := fmt.Sprintf("%-36s", "fault (requests)")
	for _, r := range rotations {
		header += fmt.Sprintf("%-18s", r.name)
	}
	t.Log(header)
	for i, f := range matrix {
		row := fmt.Sprintf("%-36s", f.name)
		for _, cell := range table[i] {
			row += fmt.Sprintf("%-18s", cell)
		}
		t.Log(row)
	}
}

func verdict(t *testing.T, s *stage, state grant.State, lost bool) string {
	t.Helper()
	requests := s.proxy.Requests()
	if state.Reauthorize != "" {
		if !lost || state.Reauthorize != grant.LostResponse {
			t.Errorf("lost (%s) after %d requests; ledger %+v", state.Reauthorize, requests, s.op.Ledger())
		}
		return fmt.Sprintf("lost(%d)", requests)
	}
	if state.Unreadable != "" || !s.op.Alive("a") {
		t.Errorf("unreadable %q, alive at the provider: %t", state.Unreadable, s.op.Alive("a"))
	}
	if newest := s.newest(); newest != s.op.Generation("a") && s.kind.Kind != provider.Grace {
		t.Errorf("the vault's refresh token is generation %d of the provider's, and %d is the newest", newest, s.op.Generation("a"))
	}
	return fmt.Sprintf("ok(%d)", requests)
}

// newest is the provider's generation of the refresh token in the vault.
func (s *stage) newest() int {
	s.Helper()
	_, c, err := s.svc.Complete(s.Context(), s.key)
	if err != nil {
		s.Fatal(err)
	}
	return s.op.Which(c.RefreshToken.Reveal())
}
