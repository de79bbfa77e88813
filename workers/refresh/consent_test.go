package refresh_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/internal/testenv/model"
	"outlink/workers/refresh"
)

func header() commands.Header { return commands.Header{CommandID: uuid.New()} }

// The late answer of a consent that another one replaced is no fallback of that one,
// also when the new one was renewed meanwhile: it is another person's, maybe.
func TestReplacedConsentIsOver(t *testing.T) {
	grace := provider.Rotation{Kind: provider.Grace, Grace: time.Hour}
	stages(t, model.Options{Kind: model.Grace, Grace: time.Hour}, provider.Provider{Rotation: grace}, 2, func(s scene) {
		s.begin(0, "", fate{}, onTheWire{"slow", time.Minute})
		if err := s.consent(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.nodes[1].wake(nil)
		time.Sleep(10 * time.Second)
		s.wellAt(3)
		s.work.Wait()
		if n := count[grant.FallbackKept](s); n > 0 || s.op.Alive("a/1") {
			t.Errorf("%d fallbacks; the first consent is alive: %t", n, s.op.Alive("a/1"))
		}
		s.wellAt(3)
	})
}

// What was on its way when its grant was revoked does not count, although somebody
// began to authorize the grant anew.
func TestRevokedConsentIsOver(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.begin(0, "", fate{}, onTheWire{"slow", 30 * time.Second})
		if _, err := s.admin.RevokeGrant(t.Context(), commands.RevokeGrant{Header: header(), GrantRef: s.ref()}); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock() // as erasure does: shred, then say so
		delete(s.vault, s.key)
		s.revision[s.key] = 0
		s.mu.Unlock()
		if _, err := s.admin.RecordErased(t.Context(), s.key, header(), grant.Erased{At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		begun := grant.AuthorizationBegun{Authorization: uuid.New(), Subject: "a", At: time.Now(), ExpiresAt: time.Now().Add(10 * time.Minute)}
		if _, err := s.grants.append(s.key, s.grants.load(s.key), begun, commands.Meta{}); err != nil {
			t.Fatal(err)
		}
		s.work.Wait()
		if state := s.state(); state.Credential != nil || s.op.Alive("a/1") {
			t.Errorf("the grant is %s, at generation %d; the revoked consent is alive: %t", state.Status(), state.Generation, s.op.Alive("a/1"))
		}
	})
}

// Time in which nobody could try is no failing: one trouble before and one after it
// do not end a grant.
func TestNeglectIsNoFailure(t *testing.T) {
	for away, back := range map[string]string{"suspend": "resume", "disable": "enable"} {
		onStrictServer(t, 1, func(s scene) {
			busy := onTheWire{What: "busy"}
			s.renew(0, busy, busy)
			s.step(t.Context(), step{Do: away})
			time.Sleep(8 * 24 * time.Hour)
			s.step(t.Context(), step{Do: back})
			s.renew(0, busy, busy)
			if state := s.state(); state.Reauthorize != "" || state.Stalled {
				t.Errorf("%s: after two tries the grant is %s (%s)", away, state.Status(), state.Reauthorize)
			}
		})
	}
}

// A disk brings back an answer that was settled and dropped long ago, as after a power
// failure: its refresh token is used up, and no fallback.
func TestDroppedAnswerComesBack(t *testing.T) {
	stages(t, model.Options{Kind: model.Strict}, provider.Provider{Rotation: unknown}, 2, func(s scene) {
		disk := map[uuid.UUID][]byte{}
		s.begin(0, "drop", fate{"freeze", time.Second})
		s.mu.Lock()
		maps.Copy(disk, s.nodes[0].disk)
		s.mu.Unlock()
		s.work.Wait()
		s.nodes[0].kill()
		for range 5 {
			time.Sleep(time.Until(s.state().DueAt()))
			s.renew(1)
		}
		if len(disk) != 1 {
			t.Fatalf("the disk had %d answers", len(disk))
		}
		s.nodes[0].disk = disk
		s.nodes[0].boot()
		s.work.Wait()
		if n := count[grant.FallbackKept](s); n != 0 || len(disk) != 0 {
			t.Errorf("the answer is a fallback: %d; answers that stay: %d", n, len(disk))
		}
		s.wellAt(7)
	})
}

// The old client secret is refused while a new one is put in its place: that is no
// trouble of the link as it is now.
func TestRefusalOfTheOldSecret(t *testing.T) {
	for at := 10; at <= 17; at++ { // points of the node's work around the refusal
		onStrictServer(t, 1, func(s scene) {
			s.nodes[0].wake(map[int]fate{at: {"freeze", 2 * time.Second}}, onTheWire{What: "invalid_client"})
			time.Sleep(time.Millisecond)
			synctest.Wait()
			link := domain.Key{Link: s.key.Link}
			if _, err := s.admin.ReplaceClientSecret(t.Context(), commands.ReplaceClientSecret{Header: header(), Link: s.key.Link, ClientSecret: clearly("new")}); err != nil {
				t.Fatal(err)
			}
			s.work.Wait()
			if trouble := s.links.load(link).State.Trouble; trouble != "" {
				t.Errorf("frozen at point %d: the link is degraded: %s", at, trouble)
			}
		})
	}
}

// A grant that waits for its link goes on when the link is well, also when an answer
// before that was lost.
func TestUncertainWaitsForItsLink(t *testing.T) {
	for name, first := range map[string]string{"refused": "access_denied", "lost": "cut before"} {
		onStrictServer(t, 1, func(s scene) {
			s.renew(0, onTheWire{What: first}, onTheWire{What: first})
			time.Sleep(time.Until(s.state().DueAt()))
			s.renew(0, onTheWire{What: "invalid_client"})
			if !s.state().WaitsForLink() {
				t.Errorf("after an answer that was %s the grant is %s (%s)", name, s.state().Status(), s.state().Deferred)
			}
			if _, err := s.admin.ReplaceClientSecret(t.Context(), commands.ReplaceClientSecret{Header: header(), Link: s.key.Link, ClientSecret: clearly("new")}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			s.renew(0)
			s.wellAt(2)
		})
	}
}

// A refresh token that is not in the vault, as after a log moved without its secrets, is
// sent: nothing that came of it would be a word about the grant.
func TestNothingIsNotSent(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.mu.Lock()
		delete(s.vault, s.key)
		s.revision[s.key] = 0
		s.mu.Unlock()
		err := s.nodes[0].running().worker.Handle(t.Context(), s.key)
		if n := count[grant.RefreshStarted](s); n != 0 || domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("%d attempts, %v; the grant is %s (%s)", n, err, s.state().Status(), s.state().Deferred)
		}
		s.requests(0)
	})
}

// locked is a vault that opens no answer.
type locked struct {
	refresh.Vault
	why error
}

func (v locked) OpenAnswer(context.Context, domain.Key, uuid.UUID, []byte) ([]byte, error) {
	return nil, v.why
}

// An answer that does not open stays in the journal. Its key may come back, which a start
// waits for within reason; for one that was damaged nobody waits.
func TestAnswerThatDoesNotOpen(t *testing.T) {
	away := domain.Errorf(domain.Unavailable, "the key service is away")
	for why, waits := range map[error]bool{away: true, errors.New("the box was changed or moved"): false} {
		onStrictServer(t, 1, func(s scene) {
			s.work.Wait() // its start, which replays too
			n := s.nodes[0]
			w := n.running().worker
			w.Vault = locked{w.Vault, why}
			n.disk[uuid.New()] = []byte(`{"key":{"Link":"` + s.key.Link.String() + `","Grant":"` + s.key.Grant.String() + `"},"generation":9,"sealed":"eA=="}`)
			if err := w.Replay(t.Context()); errors.Is(err, refresh.ErrKeyAway) != waits || (err != nil) != waits || len(n.disk) != 1 {
				t.Errorf("%v: replay says %v, and %d answers are there", why, err, len(n.disk))
			}
		})
	}
}
