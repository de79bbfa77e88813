package oauth_test

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
)

// A pushed request leaves nothing for the browser to carry but its name, and the
// provider asks who pushes it (RFC 9126).
func TestPushAuthorization(t *testing.T) {
	secret, registered := testenv.ClientKey(t, "ES256")
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AuthStyle: link.PrivateKeyJWT, Secret: secret, Metadata: registered})
	c, r := oauth.New(oauth.Options{Loopback: true}), peer.Registration("http://127.0.0.1:1")
	r.PushEndpoint, r.AuthorizationEndpoint = peer.Issuer+"/request", peer.AuthorizationEndpoint+"?tenant=one"
	at, a := c.PushAuthorization(t.Context(), r, "the-state", oauth2.GenerateVerifier())
	if a.Class != answer.Issued {
		t.Fatalf("%+v", a)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if len(q) != 3 || q.Get("tenant") != "one" || q.Get("client_id") != r.ClientID || !strings.HasPrefix(q.Get("request_uri"), "urn:ietf:params:oauth:request_uri:") {
		t.Errorf("the browser carries %v", q)
	}
	r.ClientSecret, _ = testenv.ClientKey(t, "ES256")
	if _, a := c.PushAuthorization(t.Context(), r, "the-state", oauth2.GenerateVerifier()); a.Class != answer.ClientRejected {
		t.Errorf("another key: %+v", a)
	}
	r.ClientSecret, r.PushEndpoint = domain.NewSecret("no key"), "http://127.0.0.1:1/request"
	if _, a := c.PushAuthorization(t.Context(), r, "the-state", oauth2.GenerateVerifier()); a.Class != answer.ConfigError {
		t.Errorf("no key: %+v", a)
	}
}
