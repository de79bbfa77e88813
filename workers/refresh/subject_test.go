package refresh_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/internal/testenv/faults"
)

// exchangeStage is a person's grant, and a link "exchange" that has its tokens for
// the access token of that; key is the exchanged one's.
func exchangeStage(t *testing.T) (s *stage, person domain.Key) {
	t.Helper()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: time.Hour, Metadata: map[string]any{
		"grant_types": []string{"authorization_code", "refresh_token", string(link.TokenExchange)},
	}})
	r, first := peer.Authorize(t, oauth.New(oauth.Options{Loopback: true}))
	if first.Class != answer.Issued {
		t.Fatalf("the code's exchange: %+v", first)
	}
	s = stageAt(t, peer.Issuer, provider.Rotation{Kind: provider.Unknown}, r, first.Token.RefreshToken.Reveal())
	out, err := s.svc.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()}, ClientSecret: domain.SecretInput{Clear: r.ClientSecret},
		Draft: commands.Draft{
			Name: "exchange", Provider: "custom", ClientID: r.ClientID, Scopes: []string{"openid"}, AuthStyle: r.AuthStyle, TokenEndpoint: s.proxy.URL + "/token",
			GrantTypes: []link.GrantType{link.TokenExchange}, Exchange: link.Exchange{Link: s.link},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	person, s.link = s.key, out.Link
	s.request("a")
	return s, person
}

// A token that is exchanged is fetched first where there is none, which is no
// trouble of anybody's; and a person's grant that has none does not degrade the
// link that waits for it.
func TestExchangeWaitsForItsSubject(t *testing.T) {
	s, person := exchangeStage(t)
	w, own := s.boot(&points{}), s.key
	s.handle(w)
	if state := s.state(); state.Deferred != grant.WaitsForSubject || state.Generation != 0 || s.trouble() != "" || s.proxy.Requests() != 0 {
		t.Fatalf("%d requests, link %q, grant %+v", s.proxy.Requests(), s.trouble(), state)
	}
	if s.key = person; s.state().RequestedAt.IsZero() {
		t.Error("nobody asked the other grant for a token")
	}
	s.handle(w)
	s.key = own
	s.again()
	s.handle(w)
	if state := s.state(); state.Status() != grant.StatusActive || state.Generation != 1 || state.Credential.TokenType != answer.Bearer {
		t.Fatalf("%+v", state)
	}

	if _, err := s.svc.SuspendGrant(t.Context(), commands.SuspendGrant{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: person.Link, Subject: "a"}}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		s.again()
		s.handle(w)
	}
	if state := s.state(); state.Deferred != grant.WaitsForSubject || state.Reauthorize != "" || s.trouble() != "" {
		t.Errorf("link %q, grant %+v", s.trouble(), state)
	}
}

// again wishes for a token, and passes the time until the grant is due.
func (s *stage) again() {
	s.Helper()
	if _, err := s.svc.RequestRefresh(s.Context(), commands.RequestRefresh{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: s.link, Grant: s.key.Grant}}); err != nil {
		s.Fatal(err)
	}
	if wait := s.state().DueAt().Sub(s.svc.Now()); wait > 0 {
		s.mu.Lock()
		s.now += wait
		s.mu.Unlock()
	}
}

// A subject token that the provider refuses is refused as an invalid request (RFC
// 8693 section 2.2.2): one grant's trouble, as long as the link serves others.
func TestExchangeOfARefusedToken(t *testing.T) {
	s, person := exchangeStage(t)
	w, own := s.boot(&points{}), s.key
	s.key = person
	s.handle(w)
	s.key = own
	for _, code := range []string{"invalid_request", "invalid_grant"} {
		s.proxy.Next(faults.Says(400, `{"error":"`+code+`"}`))
		s.again()
		s.handle(w)
		if state := s.state(); state.Deferred != grant.AccessDenied || state.Reauthorize != "" || s.trouble() != "" {
			t.Errorf("%s: link %q, grant %+v", code, s.trouble(), state)
		}
	}
	s.proxy.Next(faults.Says(400, `{"error":"invalid_target"}`))
	s.again()
	s.handle(w)
	if s.trouble() != link.ConfigError {
		t.Errorf("a target that the link names: %q", s.trouble())
	}
}

// What could never be had is refused when it is asked for.
func TestExchangeOfNothing(t *testing.T) {
	s, person := exchangeStage(t)
	for name, c := range map[string]commands.RequestToken{"nobody's token": {Link: s.link, Subject: "nobody"}, "a link that does not exchange": {Link: person.Link, Subject: "a"}} {
		c.Header = commands.Header{CommandID: uuid.New()}
		if _, err := s.svc.RequestToken(t.Context(), c); domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := link.Exchange{Link: s.link}
	if _, err := s.svc.UpdateOutgoingLink(t.Context(), commands.UpdateOutgoingLink{Header: commands.Header{CommandID: uuid.New()}, Link: s.link, Exchange: &own}); domain.CodeOf(err) != domain.InvalidArgument {
		t.Errorf("a link's own tokens: %v", err)
	}
}
