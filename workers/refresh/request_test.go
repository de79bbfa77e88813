package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/testenv"
	"outlink/internal/testenv/faults"
)

func clientCredentials(t *testing.T) (testenv.Peer, provider.Registration) {
	t.Helper()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{
		AccessTokenTTL: time.Hour,
		Metadata:       map[string]any{"grant_types": []string{"client_credentials"}, "redirect_uris": []string{}, "response_types": []string{}},
	})
	peer.Scopes = []string{"read"}
	return peer, peer.Registration("").Requesting(link.ClientCredentials, "a")
}

// The fault matrix where the client itself requests its tokens: nothing is used
// up by a request, so that no fault costs the grant, and nothing stays uncertain.
func TestFaultMatrixOfClientCredentials(t *testing.T) {
	peer, r := clientCredentials(t)
	table := make([]string, len(matrix))
	t.Run("faults", func(t *testing.T) {
		for i, f := range matrix {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				s := stageAt(t, peer.Issuer, provider.Rotation{Kind: provider.Strict}, r, "")
				f.run(s)
				state := s.settle(s.boot(&points{}))
				if state.Reauthorize != "" || state.Unreadable != "" || state.GrantType != link.ClientCredentials || state.Generation != 2 {
					t.Errorf("the grant ended as %+v", state)
				}
				table[i] = fmt.Sprintf("ok(%d)", s.proxy.Requests())
			})
		}
	})
	for i, f := range matrix {
		t.Logf("%-36s%s", f.name, table[i])
	}
}

// A refused client is the link's trouble. The grant waits for the right secret,
// and no person is asked for what none can give.
func TestRefusedClientCredentials(t *testing.T) {
	peer, r := clientCredentials(t)
	r.ClientSecret = domain.NewSecret("not-the-clients-secret-at-all")
	s := stageAt(t, peer.Issuer, provider.Rotation{Kind: provider.Unknown}, r, "")
	w := s.boot(&points{})
	s.handle(w)
	if state := s.state(); state.Reauthorize != "" || state.Deferred != grant.LinkTrouble || s.trouble() != link.ClientRejected {
		t.Fatalf("a refused client: link %q, grant %+v", s.trouble(), state)
	}
	_, err := s.svc.ReplaceClientSecret(t.Context(), commands.ReplaceClientSecret{
		Header: commands.Header{CommandID: uuid.New()}, Link: s.link, ClientSecret: domain.SecretInput{Clear: peer.ClientSecret},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.handle(w)
	if state := s.state(); state.Generation != 1 || state.Status() != grant.StatusActive || s.trouble() != "" {
		t.Errorf("after the right secret: link %q, grant %+v", s.trouble(), state)
	}
	s.proxy.Next(faults.Says(400, `{"error":"invalid_grant"}`))
	if _, err := s.svc.RequestRefresh(t.Context(), commands.RequestRefresh{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: s.link, Subject: "a"}}); err != nil {
		t.Fatal(err)
	}
	s.handle(w)
	if state := s.state(); state.Reauthorize != "" || s.trouble() != link.ConfigError {
		t.Errorf("invalid_grant: link %q, grant %+v", s.trouble(), state)
	}
}

func (s *stage) trouble() link.Reason {
	s.Helper()
	at, err := s.svc.Links.Load(s.Context(), domain.Key{Link: s.link})
	if err != nil {
		s.Fatal(err)
	}
	return at.State.Trouble
}
