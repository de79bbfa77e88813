package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/internal/testenv/model"
)

// The fault matrix in front of a server that is not ours: npm oidc-provider,
// which ends the whole grant when a refresh token comes twice.
func TestFaultMatrixOfOIDCProvider(t *testing.T) {
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: time.Hour})
	table := make([]string, len(matrix))
	t.Run("faults", func(t *testing.T) {
		for i, f := range matrix {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				r, first := peer.Authorize(t, oauth.New(oauth.Options{Loopback: true}))
				if first.Class != answer.Issued {
					t.Fatalf("the code's exchange: %+v", first)
				}
				s := stageAt(t, peer.Issuer, provider.Rotation{Kind: provider.Unknown}, r, first.Token.RefreshToken.Reveal())
				f.run(s)
				table[i] = s.alive(s.settle(s.boot(&points{})), f.lost(model.Strict))
			})
		}
	})
	for i, f := range matrix {
		t.Logf("%-36s%s", f.name, table[i])
	}
}

// alive has the grant renewed once more, which shows whether it lives at its
// provider.
func (s *stage) alive(state grant.State, lost bool) string {
	s.Helper()
	requests := s.proxy.Requests()
	if state.Reauthorize != "" {
		if !lost || state.Reauthorize != grant.LostResponse {
			s.Errorf("lost (%s) after %d requests", state.Reauthorize, requests)
		}
		return fmt.Sprintf("lost(%d)", requests)
	}
	_, err := s.svc.RequestRefresh(s.Context(), commands.RequestRefresh{
		Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: s.key.Link, Grant: s.key.Grant},
	})
	if err != nil {
		s.Fatal(err)
	}
	s.handle(s.boot(&points{}))
	if again := s.state(); again.Generation != state.Generation+1 {
		s.Errorf("the next refresh fails: %s (%s)", again.Status(), again.ProviderCode)
	}
	return fmt.Sprintf("ok(%d)", requests)
}
