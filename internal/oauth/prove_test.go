package oauth_test

import (
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
)

// The client proves itself with a key, at every endpoint and in every request
// anew (RFC 7523), by each algorithm and in each form of the key.
func TestPrivateKeyJWT(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			secret, registered := testenv.ClientKey(t, algorithm)
			peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AuthStyle: link.PrivateKeyJWT, Secret: secret, Metadata: registered})
			c := oauth.New(oauth.Options{Loopback: true})
			r, a := peer.Authorize(t, c)
			for range 2 {
				if a.Class != answer.Issued {
					t.Fatalf("%+v", a)
				}
				a = c.Refresh(t.Context(), r, a.Token.RefreshToken, nil, keepNothing)
			}
			noIssuer := r
			noIssuer.Issuer = "" // the audience is then the token endpoint
			if a = c.Refresh(t.Context(), noIssuer, a.Token.RefreshToken, nil, keepNothing); a.Class != answer.Issued {
				t.Errorf("with the token endpoint for an audience: %+v", a)
			}
			other := r
			other.ClientSecret, _ = testenv.ClientKey(t, algorithm)
			if a := c.Refresh(t.Context(), other, a.Token.RefreshToken, nil, keepNothing); a.Class != answer.ClientRejected {
				t.Errorf("another key: %+v", a)
			}
			if err := c.Revoke(t.Context(), r, a.Token.RefreshToken, "refresh_token"); err != nil {
				t.Error(err)
			}
			if a := c.Refresh(t.Context(), r, a.Token.RefreshToken, nil, keepNothing); a.Class != answer.GrantInvalid {
				t.Errorf("a revoked refresh token: %+v", a)
			}
		})
	}
}

// The client proves itself with a certificate (RFC 8705). A code that nobody
// issued is refused as such only when the client is known.
func TestCertificate(t *testing.T) {
	server, mine, other := testenv.NewCertificate(t, "server"), testenv.NewCertificate(t, "mine"), testenv.NewCertificate(t, "other")
	c := oauth.New(oauth.Options{Loopback: true, RootCAs: server.Pool()})
	for style, registered := range map[link.AuthStyle]map[string]any{
		link.TLSClientAuth:     {"tls_client_auth_subject_dn": "CN=mine"},
		link.SelfSignedTLSAuth: {"jwks": mine.JWKS()},
	} {
		t.Run(string(style), func(t *testing.T) {
			peer := testenv.OIDCProvider(t, testenv.OIDCOptions{
				AuthStyle: style, Secret: mine.Secret(), Metadata: registered, Certificate: server.PEM, Key: server.Key,
			})
			r := peer.Registration("http://127.0.0.1:1")
			try := func(secret domain.Secret) answer.Class {
				r.ClientSecret = secret
				return c.Exchange(t.Context(), r, domain.NewSecret("nobody-issued-this"), domain.NewSecret(strings.Repeat("v", 43))).Class
			}
			// In turns: a connection of one certificate is never the other's.
			for range 3 {
				if class := try(mine.Secret()); class != answer.GrantInvalid {
					t.Errorf("the client's certificate: %s", class)
				}
				if class := try(other.Secret()); class != answer.ClientRejected {
					t.Errorf("another certificate: %s", class)
				}
			}
		})
	}
}

// A private key is no password: as one, the provider would get it.
func TestKeyIsNoPassword(t *testing.T) {
	for _, key := range []string{"-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\naHVudGVyMg==\n-----END RSA PRIVATE KEY-----\n"} {
		for style, taken := range map[link.AuthStyle]bool{link.Basic: false, link.Body: false, link.None: true} {
			if err := oauth.CheckSecret(style, domain.NewSecret(key)); (err == nil) != taken || err != nil && strings.Contains(err.Error(), "BEGIN") {
				t.Errorf("%s: %v", style, err)
			}
		}
	}
	if err := oauth.CheckSecret(link.Basic, domain.NewSecret("hunter2")); err != nil {
		t.Error("a password:", err)
	}
}

// A key that is none is the link's trouble, is never sent, and is never quoted.
func TestNoKey(t *testing.T) {
	c := oauth.New(oauth.Options{Loopback: true})
	for _, style := range []link.AuthStyle{link.PrivateKeyJWT, link.TLSClientAuth, link.SelfSignedTLSAuth} {
		for _, secret := range []string{"hunter2", `{"kty":"hunter2"}`, "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n"} {
			r := testenv.Peer{ClientID: "id", ClientSecret: domain.NewSecret(secret), AuthStyle: style, TokenEndpoint: "http://127.0.0.1:1"}.Registration("http://127.0.0.1:1")
			a := c.Refresh(t.Context(), r, domain.NewSecret("rt"), nil, keepNothing)
			if a.Class != answer.ConfigError || a.Requests != 0 || strings.Contains(a.Problem, "unter2") {
				t.Errorf("%s with %q: %+v", style, secret, a)
			}
			err := oauth.CheckSecret(style, r.ClientSecret)
			if domain.CodeOf(err) != domain.InvalidArgument || strings.Contains(err.Error(), "unter2") {
				t.Errorf("%s with %q: %v", style, secret, err)
			}
			if err := c.Revoke(t.Context(), r, domain.NewSecret("rt"), "refresh_token"); err == nil || strings.Contains(err.Error(), "unter2") {
				t.Errorf("%s with %q: %v", style, secret, err)
			}
		}
	}
}

// A token is for the resource that the link names, and so is each renewal of it:
// without the parameter this peer gives a token for itself (RFC 8707).
func TestResource(t *testing.T) {
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{})
	peer.Scopes, peer.Resources = []string{"openid", "offline_access", "read"}, []string{"https://api.example/v1"}
	c := oauth.New(oauth.Options{Loopback: true})
	r, a := peer.Authorize(t, c)
	for range 2 {
		if a.Class != answer.Issued {
			t.Fatalf("%+v", a)
		}
		if aud := audience(t, a.Token.AccessToken); aud != "https://api.example/v1" {
			t.Errorf("the token is for %v", aud)
		}
		a = c.Refresh(t.Context(), r, a.Token.RefreshToken, nil, keepNothing)
	}
	r.Resources = []string{"https://unknown.example"}
	if a := c.Refresh(t.Context(), r, a.Token.RefreshToken, nil, keepNothing); a.Class != answer.ConfigError || a.Code != "invalid_target" {
		t.Errorf("a resource that the provider does not know: %+v", a)
	}
}

// audience reads the aud of a token that is a JWT.
func audience(t *testing.T, token domain.Secret) any {
	t.Helper()
	return claim(t, token.Reveal(), "aud")
}
