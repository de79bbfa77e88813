package refresh_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/internal/testenv/model"
)

// imported records a token that another system held.
func (s scene) imported(c commands.RecordTokenIssued) error {
	c.CommandID, c.Link, c.Subject = uuid.New(), s.key.Link, "a"
	_, err := s.admin.RecordTokenIssued(s.Context(), c)
	return err
}

func clearly(token string) domain.SecretInput {
	return domain.SecretInput{Clear: domain.NewSecret(token)}
}

// own is an import of the refresh token that the grant has, with a new access token.
func (s scene) own() commands.RecordTokenIssued {
	return commands.RecordTokenIssued{
		RefreshToken: domain.SecretInput{Clear: s.stored().RefreshToken}, AccessToken: clearly("at"), ExpiresAt: time.Now().Add(time.Hour),
	}
}

// The refresh token that is on its way is imported: the answer to it counts, and
// nobody sends it a second time.
func TestImportOfTheTokenOnItsWay(t *testing.T) {
	for name, with := range map[string]commands.RecordTokenIssued{
		"alone":                {},
		"with an access token": {AccessToken: clearly("at"), ExpiresAt: time.Now().Add(time.Hour)},
		"that is due":          {AccessToken: clearly("at"), ExpiresAt: time.Now().Add(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			onStrictServer(t, 1, func(s scene) {
				with.RefreshToken = domain.SecretInput{Clear: s.stored().RefreshToken}
				if !with.ExpiresAt.IsZero() {
					with.ExpiresAt = time.Now().Add(time.Hour)
				}
				s.begin(0, "", fate{}, onTheWire{"slow", 30 * time.Second})
				for range 2 {
					if err := s.imported(with); err != nil {
						t.Fatal(err)
					}
				}
				s.nodes[0].wake(nil) // as its timer does
				s.work.Wait()
				s.requests(1)
				s.wellAt(s.settles().Generation)
			})
		})
	}
}

// A refresh token that was rotated since is not taken in its successor's place.
func TestImportOfARotatedToken(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		used := domain.SecretInput{Clear: s.stored().RefreshToken}
		s.renew(0)
		if err := s.imported(commands.RecordTokenIssued{RefreshToken: used}); domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("a used refresh token: %v", err)
		}
		s.settles()
		s.wellAt(2)
		old := s.state().Version - 1
		err := s.imported(commands.RecordTokenIssued{Header: commands.Header{ExpectedVersion: &old}, RefreshToken: clearly(s.op.Issue("x"))})
		if domain.CodeOf(err) != domain.Conflict {
			t.Errorf("an import that expects an older version: %v", err)
		}
		s.wellAt(2)
	})
}

// A refresh token that was sent and used up is no fallback of the answer to it, although
// an import of it came between. Sent again, when the provider refuses its successor by
// mistake, it would end the grant.
func TestUsedTokenIsNoFallback(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		with := s.own()
		s.begin(0, "", fate{}, onTheWire{"slow", 30 * time.Second})
		if err := s.imported(with); err != nil {
			t.Fatal(err)
		}
		s.work.Wait()
		s.wellAt(3)
		if s.state().Fallback || !s.stored().Fallback.IsZero() {
			t.Error("there is a fallback")
		}
		time.Sleep(time.Until(s.state().DueAt()))
		s.renew(0, onTheWire{What: "invalid_grant"})
		if !s.op.Alive(s.current()) {
			t.Error("the grant is over at the provider")
		}
	})
}

// onGraceServer is a grant with a fallback: an answer came to a request that was sent
// before the one whose answer counts.
func onGraceServer(t *testing.T, f func(s scene, fallback domain.Secret)) {
	t.Helper()
	grace := provider.Rotation{Kind: provider.Grace, Grace: time.Hour}
	stages(t, model.Options{Kind: model.Grace, Grace: time.Hour}, provider.Provider{Rotation: grace}, 1, func(s scene) {
		s.renew(0)
		fallback := domain.NewSecret(s.op.Issue("f"))
		_, err := s.admin.IssueToken(t.Context(), header(), commands.NewToken{
			Key: s.key, Subject: "a", Exchange: uuid.New(), Cause: grant.ByRefresh, From: 1, ReceivedAt: time.Now().Add(-time.Minute),
			Token: answer.Token{AccessToken: domain.NewSecret("at"), RefreshToken: fallback, Lifetime: time.Hour},
		})
		if err != nil || !s.stored().Fallback.Equal(fallback) {
			t.Fatal("there is no fallback: ", err)
		}
		f(s, fallback)
	})
}

// An import of the refresh token that the grant has keeps what stands beside it.
func TestImportKeepsTheFallback(t *testing.T) {
	onGraceServer(t, func(s scene, fallback domain.Secret) {
		if err := s.imported(s.own()); err != nil {
			t.Fatal(err)
		}
		if state := s.state(); !s.stored().Fallback.Equal(fallback) || !state.Fallback || !state.Crossed {
			t.Errorf("in the vault %v, in the log %t, crossed %t", s.stored().Fallback, state.Fallback, state.Crossed)
		}
	})
}

// A fallback that was used since is not taken in its successor's place either.
func TestImportOfAUsedFallback(t *testing.T) {
	onGraceServer(t, func(s scene, fallback domain.Secret) {
		time.Sleep(time.Until(s.state().DueAt()))
		s.renew(0, onTheWire{What: "invalid_grant"})
		s.wellAt(3)
		if err := s.imported(commands.RecordTokenIssued{RefreshToken: domain.SecretInput{Clear: fallback}}); domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("a used fallback: %v", err)
		}
		s.wellAt(3)
	})
}

// An import of the refresh token that the grant has takes away no doubt: whether it was
// used, and what an answer to it says that nobody could read.
func TestImportKeepsDoubt(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.renew(0, onTheWire{What: "cut after"})
		if err := s.imported(s.own()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(s.state().DueAt()))
		s.renew(0)
		if state := s.settles(); state.Reauthorize != grant.LostResponse {
			t.Errorf("a refusal after a lost answer is %q", state.Reauthorize)
		}
	})
	for _, bare := range []bool{true, false} {
		onStrictServer(t, 1, func(s scene) {
			s.renew(0, onTheWire{What: "page after acting"})
			with := s.own()
			if bare {
				with.AccessToken, with.ExpiresAt = domain.SecretInput{}, time.Time{}
			}
			if err := s.imported(with); err != nil {
				t.Fatal(err)
			}
			s.renew(0)
			s.requests(1)
			if s.state().Unreadable == "" {
				t.Errorf("bare %t: the answer that nobody could read is forgotten", bare)
			}
		})
	}
}

// An import without a refresh token does not drop the one that the grant has.
func TestImportWithoutARefreshToken(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.begin(0, "", fate{}, onTheWire{"slow", 30 * time.Second})
		with := s.own()
		with.RefreshToken = domain.SecretInput{}
		if err := s.imported(with); domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("an access token alone: %v", err)
		}
		s.work.Wait()
		s.wellAt(2)
	})
}
