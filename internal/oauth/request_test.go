package oauth_test

import (
	"testing"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
)

// The client gets tokens for itself (RFC 6749 section 4.4), by each way to prove
// who it is, and for the resource that the link names.
func TestClientCredentials(t *testing.T) {
	server, mine := testenv.NewCertificate(t, "server"), testenv.NewCertificate(t, "mine")
	key, registered := testenv.ClientKey(t, "ES256")
	alone := map[string]any{"grant_types": []string{"client_credentials"}, "redirect_uris": []string{}, "response_types": []string{}}
	for style, o := range map[link.AuthStyle]testenv.OIDCOptions{
		link.Basic:             {},
		link.Body:              {},
		link.PrivateKeyJWT:     {Secret: key, Metadata: registered},
		link.TLSClientAuth:     {Secret: mine.Secret(), Metadata: map[string]any{"tls_client_auth_subject_dn": "CN=mine"}, Certificate: server.PEM, Key: server.Key},
		link.SelfSignedTLSAuth: {Secret: mine.Secret(), Metadata: map[string]any{"jwks": mine.JWKS()}, Certificate: server.PEM, Key: server.Key},
	} {
		t.Run(string(style), func(t *testing.T) {
			o.AuthStyle = style
			if o.Metadata == nil {
				o.Metadata = map[string]any{}
			}
			for k, v := range alone {
				o.Metadata[k] = v
			}
			peer := testenv.OIDCProvider(t, o)
			peer.Scopes, peer.Resources = []string{"read"}, []string{"https://api.example/v1"}
			r := peer.Registration("").Requesting(link.ClientCredentials, "a")
			c := oauth.New(oauth.Options{Loopback: true, RootCAs: server.Pool()})
			a := c.Refresh(t.Context(), r, domain.Secret{}, nil, keepNothing)
			if a.Class != answer.Issued || !a.Token.RefreshToken.IsZero() || a.Requests != 1 {
				t.Fatalf("%+v", a)
			}
			if aud := audience(t, a.Token.AccessToken); aud != "https://api.example/v1" {
				t.Errorf("the token is for %v", aud)
			}
		})
	}
}
