package refresh_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/testenv"
)

// bearerStage is a link that requests its tokens by assertions, and its grant "a".
func bearerStage(t *testing.T) *stage {
	t.Helper()
	key, registered := testenv.ClientKey(t, "ES256")
	registered["grant_types"], registered["redirect_uris"], registered["response_types"] = []string{string(link.JWTBearer)}, []string{}, []string{}
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: time.Hour, AuthStyle: link.PrivateKeyJWT, Secret: key, Metadata: registered})
	peer.Scopes = []string{"read"}
	s := stageAt(t, peer.Issuer, provider.Rotation{Kind: provider.Unknown}, peer.Registration("").Requesting(link.JWTBearer, "a"), "")
	s.assert(link.Assertion{Audience: peer.Issuer}) // the token endpoint is behind a proxy
	return s
}

func (s *stage) assert(a link.Assertion) {
	s.Helper()
	if _, err := s.svc.UpdateOutgoingLink(s.Context(), commands.UpdateOutgoingLink{Header: commands.Header{CommandID: uuid.New()}, Link: s.link, Assertion: &a}); err != nil {
		s.Fatal(err)
	}
}

// request has a token requested for another subject, and looks at its grant.
func (s *stage) request(subject string) {
	s.Helper()
	if _, err := s.svc.RequestToken(s.Context(), commands.RequestToken{Header: commands.Header{CommandID: uuid.New()}, Link: s.link, Subject: subject}); err != nil {
		s.Fatal(err)
	}
	s.key = domain.Key{Link: s.link, Grant: grant.ID(s.link, subject)}
}

// A subject that the provider does not know is one grant's trouble: nobody is
// asked for a consent that there never was, and the link's other grants go on.
func TestJWTBearerOfAnUnknownSubject(t *testing.T) {
	s := bearerStage(t)
	w := s.boot(&points{})
	if s.handle(w); s.state().Status() != grant.StatusActive || s.state().Generation != 1 {
		t.Fatalf("%+v", s.state())
	}
	s.request("unknown")
	s.handle(w)
	if state := s.state(); state.Reauthorize != "" || state.Deferred != grant.AccessDenied || state.ProviderCode != "" && state.ProviderCode != "invalid_grant" || s.trouble() != "" {
		t.Errorf("link %q, grant %+v", s.trouble(), state)
	}
}

// What all assertions have wrong is the link's trouble, and so is the assertion
// that is not about a subject of many: its configuration helps, no person does.
func TestJWTBearerThatIsConfiguredWrong(t *testing.T) {
	s := bearerStage(t)
	w := s.boot(&points{})
	good, err := s.svc.Links.Load(t.Context(), domain.Key{Link: s.link})
	if err != nil {
		t.Fatal(err)
	}
	s.assert(link.Assertion{Audience: "https://elsewhere.example", Subject: "robot"})
	s.handle(w)
	if state := s.state(); state.Reauthorize != "" || state.Deferred != grant.LinkTrouble || s.trouble() != link.ConfigError {
		t.Fatalf("link %q, grant %+v", s.trouble(), state)
	}
	s.assert(good.State.Assertion)
	s.handle(w)
	if state := s.state(); state.Status() != grant.StatusActive || s.trouble() != "" {
		t.Errorf("after the correction: link %q, grant %+v", s.trouble(), state)
	}
}
