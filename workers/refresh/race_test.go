package refresh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/journal"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/workers/pace"
	"outlink/workers/refresh"
)

// strict is an authorization server that rotates refresh tokens and ends the
// whole family when a used one comes again (RFC 9700 section 4.14.2).
type strict struct {
	mu       sync.Mutex
	current  map[string]string // family to its refresh token
	dead     map[string]bool
	requests int
	answer   func(w http.ResponseWriter) bool // answers instead, if it returns true
	*httptest.Server
}

func newStrict(t *testing.T) *strict {
	s := &strict{current: map[string]string{}, dead: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.token))
	t.Cleanup(s.Close)
	return s
}

func (s *strict) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.answer != nil && s.answer(w) {
		return
	}
	var family string
	var n int
	_, _ = fmt.Sscanf(r.FormValue("refresh_token"), "rt-%d-%s", &n, &family)
	if s.dead[family] || s.current[family] != r.FormValue("refresh_token") {
		s.dead[family] = true
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	s.current[family] = fmt.Sprintf("rt-%d-%s", n+1, family)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": fmt.Sprintf("at-%d-%s", n+1, family), "token_type": "Bearer", "expires_in": 3600, "refresh_token": s.current[family],
	})
}

// world is a link with imported grants, all due at once, and a few nodes.
type world struct {
	t       *testing.T
	op      *strict
	workers []*refresh.Worker
	svc     *commands.Service
	link    uuid.UUID
	grants  []domain.Key
}

func newWorld(t *testing.T, nodes, grants int) *world {
	t.Helper()
	w := &world{t: t, op: newStrict(t)}
	server, dir := testenv.NATS(t), t.TempDir()
	for i := range nodes {
		n := testenv.Node(t, server, dir, fmt.Sprintf("node-%d", i), "commands")
		w.svc = n.Commands
		w.workers = append(w.workers, &refresh.Worker{
			Commands: n.Commands, Endpoint: oauth.New(oauth.Options{Loopback: true}), Node: n.Name, Boot: uuid.New(),
			Journal: openJournal(t), Vault: n.Vault, Gates: open{},
			Later: func(context.Context, domain.Key, time.Time) error { return nil }, Log: slog.New(slog.DiscardHandler),
		})
	}
	out, err := w.svc.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()},
		Draft: commands.Draft{
			Name: "strict", Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Body,
			AuthorizationEndpoint: w.op.URL + "/authorize", TokenEndpoint: w.op.URL + "/token",
		},
		ClientSecret: domain.SecretInput{Clear: domain.NewSecret("canary-client-secret")},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.link = out.Link
	for i := range grants {
		family := fmt.Sprintf("subject%d", i)
		w.op.current[family] = "rt-1-" + family
		_, err := w.svc.RecordTokenIssued(t.Context(), commands.RecordTokenIssued{
			Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, Subject: family,
			RefreshToken: domain.SecretInput{Clear: domain.NewSecret("rt-1-" + family)},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.grants = append(w.grants, domain.Key{Link: out.Link, Grant: grant.ID(out.Link, family)})
	}
	return w
}

// open lets everything through: these tests are not about manners.
type open struct{}

func (open) Enter(pace.Request) (func(answer.Class, time.Duration), time.Duration) {
	return func(answer.Class, time.Duration) {}, 0
}
func (open) Hold(pace.Request) time.Duration    { return 0 }
func (open) Works(pace.Request, time.Time) bool { return false }

func openJournal(t *testing.T) *journal.Journal {
	t.Helper()
	j, err := journal.Open(t.TempDir(), 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func (w *world) state(key domain.Key) grant.State {
	w.t.Helper()
	at, err := w.svc.Grants.Load(w.t.Context(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	return at.State
}

// Eight nodes see fifty grants due at the same instant, at a provider that ends
// a grant whose refresh token comes twice: one request a grant, none dead.
func TestOneRequestAGrantHoweverManyWorkers(t *testing.T) {
	w := newWorld(t, 8, 50)
	start := make(chan struct{}) // a barrier: without it the first worker is done before the last begins
	var wg sync.WaitGroup
	for _, worker := range w.workers {
		for _, key := range w.grants {
			wg.Go(func() {
				<-start
				if err := worker.Handle(context.WithoutCancel(t.Context()), key); err != nil {
					t.Errorf("handle %s: %v", key, err)
				}
			})
		}
	}
	close(start)
	wg.Wait()
	if w.op.requests != 50 || len(w.op.dead) != 0 {
		t.Errorf("%d token requests and %d dead grants, want 50 and 0", w.op.requests, len(w.op.dead))
	}
	for _, key := range w.grants {
		if s := w.state(key); s.Status() != grant.StatusActive || s.Generation != 2 {
			t.Errorf("grant %s is %s at generation %d, want active at 2", key, s.Status(), s.Generation)
		}
	}
}

// What an answer means for the grant and for its link.
func TestOutcomes(t *testing.T) {
	reply := func(status int, body string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	for name, tt := range map[string]struct {
		status   int
		body     string
		grant    grant.Status
		deferred grant.DeferReason
		link     link.Status
	}{
		"invalid_grant is asked again":       {400, `{"error":"invalid_grant"}`, grant.StatusRetrying, grant.Unconfirmed, link.StatusActive},
		"invalid_client is the link's fault": {401, `{"error":"invalid_client"}`, grant.StatusRetrying, grant.LinkTrouble, link.StatusDegraded},
		"too many requests":                  {429, `{"error":"slow_down"}`, grant.StatusRetrying, grant.RateLimited, link.StatusActive},
		"server error is ambiguous":          {500, `oops`, grant.StatusUncertain, grant.Ambiguous, link.StatusActive},
		"consent is needed":                  {400, `{"error":"interaction_required"}`, grant.StatusReauthorizationRequired, "", link.StatusActive},
		"unreadable success":                 {200, `<html>`, grant.StatusUncertain, "", link.StatusActive},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1)
			w.op.answer = reply(tt.status, tt.body)
			before := time.Now()
			if err := w.workers[0].Handle(t.Context(), w.grants[0]); err != nil {
				t.Fatal(err)
			}
			s := w.state(w.grants[0])
			if s.Status() != tt.grant || s.Deferred != tt.deferred {
				t.Errorf("grant is %s (%s), want %s (%s)", s.Status(), s.Deferred, tt.grant, tt.deferred)
			}
			l, err := w.svc.Links.Load(t.Context(), domain.Key{Link: w.link})
			if err != nil || l.State.Status() != tt.link {
				t.Errorf("link is %s (%v), want %s", l.State.Status(), err, tt.link)
			}
			if tt.deferred == grant.RateLimited && s.RetryAt.Before(before.Add(120*time.Second)) {
				t.Errorf("retried at %s, before Retry-After", s.RetryAt)
			}
		})
	}
}

// A second invalid_grant is believed, and a success after a degraded link heals it.
func TestConfirmationAndRecovery(t *testing.T) {
	w := newWorld(t, 1, 2)
	state := func(i int) grant.State { return w.state(w.grants[i]) }
	later := func(d time.Duration) { now := time.Now().Add(d); w.svc.Now = func() time.Time { return now } }

	w.op.answer = func(rw http.ResponseWriter) bool {
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = rw.Write([]byte(`{"error":"invalid_grant"}`))
		return true
	}
	for range 2 {
		if err := w.workers[0].Handle(t.Context(), w.grants[0]); err != nil {
			t.Fatal(err)
		}
		later(5 * time.Minute)
	}
	if s := state(0); s.Reauthorize != grant.GrantInvalid {
		t.Errorf("after two invalid_grant the grant is %s (%s), want reauthorization required", s.Status(), s.Reauthorize)
	}

	if _, err := w.svc.DegradeLink(t.Context(), w.link, commands.Header{CommandID: uuid.New()}, commands.Refusal{ConfigVersion: 1, Class: "client_rejected", Code: "invalid_client"}); err != nil {
		t.Fatal(err)
	}
	w.op.answer = nil
	if err := w.workers[0].Handle(t.Context(), w.grants[1]); err != nil {
		t.Fatal(err)
	}
	l, err := w.svc.Links.Load(t.Context(), domain.Key{Link: w.link})
	if err != nil || l.State.Status() != link.StatusActive || state(1).Generation != 2 {
		t.Errorf("link is %s (%v) and the grant at generation %d, want active and 2", l.State.Status(), err, state(1).Generation)
	}
}

// A wrong client secret and thirty grants: one request finds out, one event
// says so, no grant is marked, and the new secret heals them all.
func TestClientRejected(t *testing.T) {
	const grants = 30
	w := newWorld(t, 1, grants)
	worker, refused := w.workers[0], true
	worker.Gates = &pace.Gates{}
	w.op.answer = func(rw http.ResponseWriter) bool {
		if refused {
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = rw.Write([]byte(`{"error":"invalid_client"}`))
		}
		return refused
	}
	handle := func() {
		for _, key := range w.grants {
			if err := worker.Handle(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	handle()
	handle()
	l, err := w.svc.Links.Load(t.Context(), domain.Key{Link: w.link})
	if err != nil || l.State.Trouble != link.ClientRejected || l.Version != 2 || w.op.requests != 1 {
		t.Errorf("after %d requests the link is in trouble %q at version %d (%v), want one request and one event", w.op.requests, l.State.Trouble, l.Version, err)
	}
	for _, key := range w.grants {
		if s := w.state(key); s.Reauthorize != "" {
			t.Fatalf("grant %s is marked: %s", key.Grant, s.Reauthorize)
		}
	}
	refused = false
	if _, err := w.svc.ReplaceClientSecret(t.Context(), commands.ReplaceClientSecret{
		Header: commands.Header{CommandID: uuid.New()}, Link: w.link, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("canary-right")},
	}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) { // a new client is asked at its host's pace
		renewed := 0
		handle()
		for _, key := range w.grants {
			if w.state(key).Generation == 2 {
				renewed++
			}
		}
		if renewed == grants {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d grants are renewed", renewed, grants)
		}
	}
}

// An answer without a refresh token leaves the old one in force, one with the
// same does too, and another replaces it (RFC 6749 section 6).
func TestRotation(t *testing.T) {
	for name, tt := range map[string]struct {
		member  string
		next    string
		rotated bool
	}{
		"none":    {``, "rt-1-subject0", false},
		"same":    {`,"refresh_token":"rt-1-subject0"`, "rt-1-subject0", false},
		"another": {`,"refresh_token":"rt-other"`, "rt-other", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1)
			w.op.answer = func(rw http.ResponseWriter) bool {
				_, _ = rw.Write([]byte(`{"access_token":"at","token_type":"Bearer","expires_in":3600` + tt.member + `}`))
				return true
			}
			if err := w.workers[0].Handle(t.Context(), w.grants[0]); err != nil {
				t.Fatal(err)
			}
			at, c, err := w.svc.Complete(t.Context(), w.grants[0])
			if err != nil || c.RefreshToken.Reveal() != tt.next || at.State.Credential.Rotated != tt.rotated {
				t.Errorf("rotated: %t (%v), the vault holds the right token: %t", at.State.Credential.Rotated, err, c.RefreshToken.Reveal() == tt.next)
			}
		})
	}
}
