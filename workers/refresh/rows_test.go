package refresh_test

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/testenv/model"

	"github.com/google/uuid"
)

var (
	strictly = provider.Rotation{Kind: provider.Strict}
	unknown  = provider.Rotation{Kind: provider.Unknown}
)

// scene is a simulation with a test's words for it.
type scene struct {
	*testing.T
	*sim
}

// stages runs f with an installation that holds one grant, due at once.
func stages(t *testing.T, o model.Options, p provider.Provider, nodes int, f func(s scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := scene{t, newSimWith(o, p, nodes)}
		if err := s.consent(t.Context()); err != nil {
			t.Fatal(err)
		}
		f(s)
		s.work.Wait()
	})
}

func onStrictServer(t *testing.T, nodes int, f func(s scene)) {
	t.Helper()
	stages(t, model.Options{Kind: model.Strict}, provider.Provider{Rotation: strictly}, nodes, f)
}

// begin has a node renew, with something befalling it at a point, and waits for
// as long as that takes to show.
func (s scene) begin(node int, at string, f fate, wire ...onTheWire) {
	s.nodes[node].at = map[string]fate{at: f}
	s.nodes[node].wake(nil, wire...)
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

func (s scene) renew(node int, wire ...onTheWire) {
	s.nodes[node].wake(nil, wire...)
	s.work.Wait()
}

func (s scene) settles() grant.State {
	s.Helper()
	if err := s.settle(); err != nil {
		s.Fatal(err)
	}
	return s.state()
}

func (s scene) requests(want int) {
	s.Helper()
	if got := len(s.op.Ledger()); got != want {
		s.Errorf("%d token requests, want %d: %+v", got, want, s.op.Ledger())
	}
}

// count is how many events of a type the grant has.
func count[E grant.Event](s scene) int {
	n := 0
	for _, e := range s.history() {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

func (s scene) wellAt(generation uint64) {
	s.Helper()
	if state := s.state(); state.Status() != grant.StatusActive || state.Generation != generation || !s.op.Alive(s.current()) {
		s.Errorf("the grant is %s (%s) at generation %d, alive at the provider: %t; want active at %d",
			state.Status(), state.Reauthorize, state.Generation, s.op.Alive(s.current()), generation)
	}
}

// F14. A node that was frozen between lease and request past half of its lease
// sends nothing, and another node goes on.
func TestFrozenNodeSendsNothing(t *testing.T) {
	onStrictServer(t, 2, func(s scene) {
		s.begin(0, "send", fate{"freeze", 20 * time.Minute})
		s.requests(0)
		for s.state().Generation == 1 {
			time.Sleep(time.Minute)
			s.nodes[1].wake(nil)
			synctest.Wait()
		}
		s.settles()
		s.requests(1)
		s.wellAt(2)
	})
}

// F16. A process that is killed with a request in flight goes on as soon as it is
// started again, in time for a token that works for ten seconds after its first
// use; whoever else is woken waits for the lease.
func TestKilledInFlight(t *testing.T) {
	grace := provider.Rotation{Kind: provider.Grace, Grace: 10 * time.Second}
	stages(t, model.Options{Kind: model.Grace}, provider.Provider{Rotation: grace}, 2, func(s scene) {
		s.begin(0, "acted", fate{What: "crash"})
		time.Sleep(3 * time.Second)
		s.nodes[1].wake(nil)
		s.nodes[0].boot()
		s.work.Wait()
		s.requests(2)
		s.wellAt(2)
		if len(s.nodes[0].disk) != 0 {
			t.Error("the journal is not empty")
		}
	})
}

// F15. The lease's acknowledgement is lost: nothing was sent, the attempt is
// closed as such, and the next one renews.
func TestLostAcknowledgement(t *testing.T) {
	for _, at := range []string{"append", "store"} { // of the lease, and of the token
		onStrictServer(t, 1, func(s scene) {
			s.begin(0, at, fate{What: "ack lost"})
			s.settles()
			for _, e := range s.history() {
				if e, ok := e.(grant.RefreshStarted); ok && e.TakeoverOf != uuid.Nil {
					t.Errorf("after a lost acknowledgement (%s) the own attempt counts as somebody else's", at)
				}
			}
			s.requests(1)
			s.wellAt(2)
		})
	}
}

// F17. The log is away for a minute after an answer came: no other refresh is
// begun, and the answer is in the log afterwards.
func TestLogAway(t *testing.T) {
	onStrictServer(t, 3, func(s scene) {
		s.begin(0, "kept", fate{"log away", time.Minute})
		for range 6 {
			time.Sleep(9 * time.Second)
			s.tick()
		}
		s.requests(1)
		s.settles()
		s.requests(1)
		s.wellAt(2)
	})
}

// F18. A full disk under the journal: no refresh is begun.
func TestJournalFull(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.nodes[0].full = true
		s.renew(0)
		if s.requests(0); count[grant.RefreshStarted](s) != 0 || s.later.Before(time.Now()) {
			t.Errorf("%d attempts, and the next look at %s", count[grant.RefreshStarted](s), s.later)
		}
		s.nodes[0].full = false
		s.settles()
		s.wellAt(2)
	})
}

// F19. The key service is away: no refresh is begun, and what is served stays.
func TestKeyServiceAway(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.settles()
		time.Sleep(time.Until(s.state().DueAt()))
		s.kmsAway = time.Now().Add(10 * time.Minute)
		s.renew(0)
		if s.requests(1); count[grant.RefreshStarted](s) != 1 {
			t.Errorf("%d attempts, want the first one alone", count[grant.RefreshStarted](s))
		}
		if _, err := s.state().Servable(s.key.Grant, time.Now()); err != nil {
			t.Errorf("the token is not served: %v", err)
		}
		time.Sleep(10 * time.Minute)
		s.settles()
		s.requests(2)
		s.wellAt(3)
	})
}

// F23. Clocks five minutes apart: every refresh token is sent once, and none is
// renewed after its end.
func TestClocksApart(t *testing.T) {
	onStrictServer(t, 3, func(s scene) {
		s.nodes[0].skew, s.nodes[1].skew = 5*time.Minute, -5*time.Minute
		began := time.Now()
		for time.Since(began) < 12*time.Hour {
			time.Sleep(time.Minute)
			for _, n := range s.nodes {
				n.wake(nil)
			}
			s.work.Wait()
			if _, err := s.state().Servable(s.key.Grant, time.Now()); err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
		}
		for i, e := range s.op.Ledger() {
			if e.Outcome != model.Issued || e.Presented != i+1 {
				t.Fatalf("request %d: %+v", i, e)
			}
		}
		if n := len(s.op.Ledger()); n < 12 || n > 24 {
			t.Errorf("%d renewals of a one-hour token in 12 hours", n)
		}
	})
}

// F26. A person ends the grant at the provider: one event says so, and the
// access token is served until its end.
func TestRevokedAtProvider(t *testing.T) {
	onStrictServer(t, 2, func(s scene) {
		s.settles()
		s.op.Revoke(s.current())
		time.Sleep(time.Until(s.state().DueAt()))
		for range 3 {
			s.renew(0)
			s.renew(1)
		}
		state := s.state()
		if state.Reauthorize != grant.GrantInvalid || count[grant.ReauthorizationRequired](s) != 1 {
			t.Errorf("reauthorize %q, said %d times", state.Reauthorize, count[grant.ReauthorizationRequired](s))
		}
		if _, err := state.Servable(s.key.Grant, state.Credential.ExpiresAt.Add(-time.Second)); err != nil {
			t.Errorf("before its end the token is not served: %v", err)
		}
		if _, err := state.Servable(s.key.Grant, state.Credential.ExpiresAt); err == nil {
			t.Error("after its end it is served")
		}
	})
}

// F27. A person authorizes anew while an attempt is open: the new consent counts,
// and the late answer's token is revoked.
func TestAuthorizedDuringAttempt(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.begin(0, "", fate{}, onTheWire{"slow", 30 * time.Second})
		if err := s.consent(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.work.Wait()
		if state := s.state(); state.Credential.Cause != grant.ByImport || state.Generation != 2 {
			t.Errorf("the current credential comes from %s, generation %d", state.Credential.Cause, state.Generation)
		}
		if s.op.Alive("a/1") {
			t.Error("the late answer's token lives on")
		}
		s.settles()
		s.wellAt(3)
	})
}

// A late success is never dropped: one that others have overtaken stands by as a
// fallback, and is used when the current refresh token is refused.
func TestFallback(t *testing.T) {
	grace := provider.Rotation{Kind: provider.Grace, Grace: time.Hour}
	stages(t, model.Options{Kind: model.Grace, Grace: time.Hour}, provider.Provider{Rotation: grace}, 2, func(s scene) {
		s.begin(0, "put", fate{"freeze", 20 * time.Minute})
		for s.state().Generation == 1 {
			time.Sleep(time.Minute)
			s.nodes[1].wake(nil)
			synctest.Wait()
		}
		s.settles()
		if state := s.state(); !state.Fallback || count[grant.FallbackKept](s) != 1 {
			t.Fatalf("no fallback is kept: %+v", state)
		}
		if c := s.stored(); s.op.Which(c.RefreshToken.Reveal()) != 3 || s.op.Which(c.Fallback.Reveal()) != 2 {
			t.Errorf("the vault holds generation %d and the fallback %d", s.op.Which(c.RefreshToken.Reveal()), s.op.Which(c.Fallback.Reveal()))
		}
		time.Sleep(time.Until(s.state().DueAt()))
		s.renew(0, onTheWire{What: "invalid_grant"}, onTheWire{What: "refused"})
		if state := s.state(); state.Reauthorize != "" || state.Unconfirmed > 0 {
			t.Fatalf("a fallback that was never asked is given up: %+v", state)
		}
		time.Sleep(time.Until(s.state().DueAt()))
		s.renew(0, onTheWire{What: "invalid_grant"})
		s.wellAt(3)
		if l := s.op.Ledger(); l[len(l)-1].Presented != 2 {
			t.Errorf("the fallback was not used: %+v", l[len(l)-1])
		}
	})
}

// The other way round: the answer that was asked for first reaches the log while
// the second request is on its way. The second is the current one then, and the
// first stands by.
func TestCrossingAnswers(t *testing.T) {
	grace := provider.Rotation{Kind: provider.Grace, Grace: time.Hour}
	stages(t, model.Options{Kind: model.Grace, Grace: time.Hour}, provider.Provider{Rotation: grace}, 2, func(s scene) {
		s.begin(0, "put", fate{"freeze", 9 * time.Minute})
		for began := time.Now(); len(s.op.Ledger()) < 2 && time.Since(began) < 9*time.Minute; {
			s.nodes[1].wake(nil, onTheWire{"slow", 80 * time.Second})
			time.Sleep(time.Second)
			synctest.Wait()
		}
		s.settles()
		s.requests(2)
		if c := s.stored(); !s.state().Fallback || s.op.Which(c.RefreshToken.Reveal()) != 3 || s.op.Which(c.Fallback.Reveal()) != 2 {
			t.Errorf("the vault holds generation %d and the fallback %d", s.op.Which(c.RefreshToken.Reveal()), s.op.Which(c.Fallback.Reveal()))
		}
		if !s.state().Crossed {
			t.Error("the log does not say that two requests crossed")
		}
		s.wellAt(3)
	})
}

// A node whose answer came after a person was asked for takes that back.
func TestLateSuccessHeals(t *testing.T) {
	stages(t, model.Options{Kind: model.Grace}, provider.Provider{Rotation: unknown}, 2, func(s scene) {
		s.begin(0, "put", fate{"freeze", 40 * time.Minute})
		for s.state().Reauthorize == "" {
			time.Sleep(time.Minute)
			s.nodes[1].wake(nil)
			synctest.Wait()
		}
		if s.state().Reauthorize != grant.LostResponse {
			t.Errorf("reauthorize: %s", s.state().Reauthorize)
		}
		s.work.Wait()
		s.wellAt(2)
	})
}

// A provider that fails for days: retried ever more slowly, stalled after a day,
// given up after a week and not before.
func TestStalledAndGivenUp(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		began, stalled, tries := time.Now(), time.Duration(0), 0
		for s.state().Reauthorize == "" && time.Since(began) < 9*24*time.Hour {
			time.Sleep(max(time.Second, time.Until(s.state().DueAt())))
			s.renew(0, onTheWire{What: "busy"}, onTheWire{What: "busy"})
			if tries++; stalled == 0 && s.state().Stalled {
				stalled = time.Since(began)
			}
		}
		if days := time.Since(began).Hours() / 24; s.state().Reauthorize != grant.Stalled || days < 7 || days > 7.1 {
			t.Errorf("after %.1f days: %q", days, s.state().Reauthorize)
		}
		if stalled < 24*time.Hour || stalled > 25*time.Hour || tries > 1000 {
			t.Errorf("stalled after %s; %d tries", stalled, tries)
		}
		s.requests(0)
	})
}

// Nothing reaches a provider that refuses connections: that is never the grant's
// fault, for however long.
func TestUnreachable(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		for range 2000 {
			time.Sleep(max(time.Second, time.Until(s.state().DueAt())))
			s.renew(0, onTheWire{What: "refused"})
		}
		l := s.links.load(domain.Key{Link: s.key.Link}).State
		if s.state().Reauthorize != "" || l.Trouble != link.EndpointUnreachable {
			t.Errorf("grant: %q, link: %q", s.state().Reauthorize, l.Trouble)
		}
		s.settles()
		if s.links.load(domain.Key{Link: s.key.Link}).State.Trouble != "" {
			t.Error("the link does not heal")
		}
	})
}

// A refusal that nobody understands is the link's trouble after three, and no
// grant's end.
func TestAccessDenied(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		for i := range 3 {
			if l := s.links.load(domain.Key{Link: s.key.Link}).State; l.Trouble != "" {
				t.Errorf("after %d refusals the link is in trouble: %s", i, l.Trouble)
			}
			time.Sleep(max(time.Second, time.Until(s.state().DueAt())))
			s.renew(0, onTheWire{What: "access_denied"})
		}
		if l := s.links.load(domain.Key{Link: s.key.Link}).State; l.Trouble != link.ConfigError || s.state().Reauthorize != "" {
			t.Errorf("link: %q, grant: %q", l.Trouble, s.state().Reauthorize)
		}
		s.settles()
		s.wellAt(2)
	})
}

// A refresh token that ends when it is idle is used at half of that time, though
// the access token lives longer.
func TestKeepAlive(t *testing.T) {
	stages(t, model.Options{Kind: model.Strict}, provider.Provider{Rotation: strictly, Lifetimes: provider.Lifetimes{RefreshIdle: 20 * time.Minute}}, 1, func(s scene) {
		s.settles()
		if in := time.Until(s.state().DueAt()); in > 10*time.Minute || in < 9*time.Minute {
			t.Errorf("due in %s", in)
		}
	})
}

// Every wake of the worker ends in the log or in a later wake; none asks a
// provider that was asked already.
func TestNothingIsDueTwice(t *testing.T) {
	onStrictServer(t, 2, func(s scene) {
		s.settles()
		before := len(s.history())
		for range 10 {
			s.renew(0)
			s.renew(1)
		}
		if after := len(s.history()); after != before {
			t.Errorf("%d events of nothing: %s", after-before, types(s.history()[before:]))
		}
	})
}

func types(all []grant.Event) string {
	names := make([]string, 0, len(all))
	for _, e := range all {
		names = append(names, reflect.TypeOf(e).Name())
	}
	return strings.Join(names, " ")
}
