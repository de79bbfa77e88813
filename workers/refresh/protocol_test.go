package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/internal/testenv/model"
)

// last is the last event of a type.
func last[E grant.Event](s scene) (found E) {
	for _, e := range s.history() {
		if e, ok := e.(E); ok {
			found = e
		}
	}
	return found
}

// dueAgain has the grant renewed once, so that its access token has time left, and
// waits until it is due.
func (s scene) dueAgain() {
	s.Helper()
	s.settles()
	time.Sleep(time.Until(s.state().DueAt()))
}

// Step 13. Where the old refresh token may be the grant's end, the node that has
// the answer on its disk gets time beyond its lease to come back.
func TestAnswerOfAnotherNodeIsWaitedFor(t *testing.T) {
	for name, declared := range map[string]provider.Rotation{"strict": strictly, "unknown": unknown} {
		t.Run(name, func(t *testing.T) {
			stages(t, model.Options{Kind: model.Strict}, provider.Provider{Rotation: declared}, 2, func(s scene) {
				s.dueAgain()
				s.begin(0, "kept", fate{What: "crash"})
				for began := time.Now(); time.Since(began) < 13*time.Minute; time.Sleep(20 * time.Second) {
					s.nodes[1].wake(nil)
					synctest.Wait()
				}
				s.requests(2)
				s.nodes[0].boot()
				s.settles()
				s.requests(2)
				s.wellAt(3)
			})
		})
	}
}

// Step 14. A refusal after a takeover waits for the overtaken node once more
// before it is believed.
func TestRefusalAfterTakeoverWaits(t *testing.T) {
	stages(t, model.Options{Kind: model.Grace}, provider.Provider{Rotation: unknown}, 2, func(s scene) {
		s.dueAgain()
		s.begin(0, "kept", fate{What: "crash"})
		for began := time.Now(); last[grant.RefreshDeferred](s).Reason == "" && time.Since(began) < time.Hour; time.Sleep(20 * time.Second) {
			s.nodes[1].wake(nil)
			synctest.Wait()
		}
		refused := last[grant.RefreshDeferred](s)
		left := min(10*time.Minute, s.state().Credential.ExpiresAt.Sub(refused.At))
		if wait := refused.RetryAt.Sub(refused.At); refused.Reason != grant.Unconfirmed || left < 2*time.Minute || wait < left-time.Second {
			t.Errorf("deferred as %s for %s, and the token lives %s", refused.Reason, wait, left)
		}
		s.nodes[0].boot()
		s.settles()
		s.wellAt(3)
	})
}

// An answer was lost, and the try after it was never sent: what became of the
// first is still unknown.
func TestUnsentTrySaysNothingOfTheOneBefore(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.renew(0, onTheWire{What: "cut after"}, onTheWire{What: "refused"})
		e := last[grant.RefreshDeferred](s)
		if e.Reason != grant.Ambiguous || e.Unknown != 1 || e.Requests != 1 || s.state().Status() != grant.StatusUncertain {
			t.Errorf("deferred as %s, %d of %d unknown, and the grant is %s", e.Reason, e.Unknown, e.Requests, s.state().Status())
		}
	})
}

// A lease rests on the grant as it was read: another node's lost answer meanwhile
// has it read again, and the refusal is called what it is.
func TestLeaseNeedsTheGrantUnchanged(t *testing.T) {
	onStrictServer(t, 2, func(s scene) {
		s.begin(0, "noted", fate{"freeze", 10 * time.Second})
		s.nodes[1].wake(nil, onTheWire{What: "cut after"}, onTheWire{What: "cut after"})
		time.Sleep(5 * time.Second)
		if s.requests(2); last[grant.RefreshDeferred](s).Reason != grant.Ambiguous {
			t.Fatalf("the other node's attempt did not end: %s", types(s.history()))
		}
		s.work.Wait()
		if state := s.settles(); state.Reauthorize != grant.LostResponse {
			t.Errorf("reauthorize: %q, want %s", state.Reauthorize, grant.LostResponse)
		}
	})
}

// A refused client that is configured no more is nobody's trouble.
func TestRefusalOfAnOldConfiguration(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.begin(0, "send", fate{"freeze", 5 * time.Second}, onTheWire{What: "invalid_client"})
		if _, err := s.admin.ReplaceClientSecret(s.Context(), commands.ReplaceClientSecret{
			Header: commands.Header{CommandID: uuid.New()}, Link: s.key.Link, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("new")},
		}); err != nil {
			t.Fatal(err)
		}
		s.work.Wait()
		if l := s.links.load(domain.Key{Link: s.key.Link}).State; l.Trouble != "" {
			t.Errorf("the link is in trouble: %s", l.Trouble)
		}
		if e := last[grant.RefreshDeferred](s); e.Reason != grant.LinkTrouble || e.RetryAt.Sub(e.At) > time.Minute {
			t.Errorf("deferred as %s for %s", e.Reason, e.RetryAt.Sub(e.At))
		}
		s.settles()
		s.wellAt(2)
	})
}

// Whoever asked may go away: the answer is the grant's.
func TestCallerGoesAway(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		n := s.nodes[0]
		n.wire = []onTheWire{{"slow", 30 * time.Second}}
		ctx, cancel := context.WithCancel(s.Context())
		s.work.Go(func() { _ = n.running().worker.Handle(ctx, s.key) })
		time.Sleep(10 * time.Second)
		cancel()
		s.work.Wait()
		s.requests(1)
		s.wellAt(2)
	})
}
