package oauth_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
)

// The client requests a token in the name of a subject by an assertion that it
// signs (RFC 7523 section 2.1), and proves itself beside that.
func TestJWTBearer(t *testing.T) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.ES256, jose.PS256} {
		t.Run(string(algorithm), func(t *testing.T) {
			peer := bearerPeer(t, algorithm, testenv.OIDCOptions{})
			c, r := oauth.New(oauth.Options{Loopback: true}), peer.Registration("")
			for subject, want := range map[string]string{"anna": "anna", "default": peer.ClientID} {
				for range 2 { // an assertion is good for one request
					a := c.Refresh(t.Context(), r.Requesting(link.JWTBearer, subject), domain.Secret{}, nil, keepNothing)
					if a.Class != answer.Issued || !a.Token.RefreshToken.IsZero() || a.Requests != 1 {
						t.Fatalf("%s: %+v", subject, a)
					}
					if got := claim(t, a.Token.AccessToken.Reveal(), "sub"); got != want {
						t.Errorf("a token of %v, want %s", got, want)
					}
				}
			}
			fixed := r
			fixed.Assertion.Subject = "bert"
			a := c.Refresh(t.Context(), fixed.Requesting(link.JWTBearer, "anna"), domain.Secret{}, nil, keepNothing)
			if a.Class != answer.Issued || claim(t, a.Token.AccessToken.Reveal(), "sub") != "bert" {
				t.Errorf("the link's own subject: %+v", a)
			}
			for name, change := range map[string]link.Assertion{"another audience": {Audience: "https://elsewhere.example"}, "another issuer": {Issuer: "somebody"}} {
				wrong := r
				wrong.Assertion = change
				if a := c.Refresh(t.Context(), wrong.Requesting(link.JWTBearer, "anna"), domain.Secret{}, nil, keepNothing); a.Class != answer.GrantInvalid {
					t.Errorf("%s: %+v", name, a)
				}
			}
		})
	}
}

func bearerPeer(t *testing.T, algorithm jose.SignatureAlgorithm, o testenv.OIDCOptions) testenv.Peer {
	t.Helper()
	o.AuthStyle = link.PrivateKeyJWT
	o.Secret, o.Metadata = testenv.ClientKey(t, algorithm)
	o.Metadata["grant_types"], o.Metadata["redirect_uris"], o.Metadata["response_types"] = []string{string(link.JWTBearer)}, []string{}, []string{}
	peer := testenv.OIDCProvider(t, o)
	peer.Scopes = []string{"read"}
	return peer
}

// The same against zitadel/oidc, where nothing proves the client beside it.
func TestJWTBearerByAnotherServer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "one", Algorithm: string(jose.RS256)})
	if err != nil {
		t.Fatal(err)
	}
	peer := testenv.ZitadelWithKey(t, key.Public())
	peer.ClientID, peer.ClientSecret, peer.AuthStyle = "service", domain.NewSecret(string(jwk)), link.PrivateKeyJWT
	peer.Scopes = []string{"openid"}
	c, r := oauth.New(oauth.Options{Loopback: true}), peer.Registration("")
	r.Assertion = link.Assertion{Alone: true} // it knows no other client than the one that signs
	a := c.Refresh(t.Context(), r.Requesting(link.JWTBearer, "default"), domain.Secret{}, nil, keepNothing)
	if a.Class != answer.Issued || a.Token.AccessToken.IsZero() {
		t.Fatalf("%+v", a)
	}
	if a := c.Refresh(t.Context(), r.Requesting(link.JWTBearer, "anna"), domain.Secret{}, nil, keepNothing); a.Class == answer.Issued {
		t.Errorf("in another's name: %+v", a)
	}
}

// What providers want is said by the catalogue: here a service account at Google,
// and a user at Salesforce.
func TestAssertionsAsProvidersWantThem(t *testing.T) {
	secret, _ := testenv.ClientKey(t, jose.RS256)
	for name, tt := range map[string]struct {
		assertion link.Assertion
		subject   string
		form      string // names of what is sent
		claims    map[string]any
	}{
		"Google":              {link.Assertion{Audience: "https://oauth2.googleapis.com/token", NoSubject: true, Scopes: link.InAssertion, Alone: true}, "default", "assertion grant_type", map[string]any{"iss": "c", "scope": "a b", "aud": "https://oauth2.googleapis.com/token", "sub": nil}},
		"Google, in a name":   {link.Assertion{NoSubject: true, Scopes: link.InAssertion, Alone: true}, "anna@example.com", "assertion grant_type", map[string]any{"sub": "anna@example.com"}},
		"Salesforce":          {link.Assertion{Audience: "https://login.salesforce.com", Scopes: link.Nowhere, Alone: true}, "anna", "assertion grant_type", map[string]any{"iss": "c", "sub": "anna", "aud": "https://login.salesforce.com", "scope": nil}},
		"by RFC 7523 section": {link.Assertion{}, "anna", "assertion client_assertion client_assertion_type client_id grant_type scope", map[string]any{"sub": "anna", "scope": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			var form url.Values
			endpoint, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
				form = r.PostForm
				says(200, `{"access_token":"at","token_type":"Bearer"}`)(w, r)
			})
			r := at(endpoint)
			r.ClientSecret, r.AuthStyle, r.Scopes, r.Assertion = secret, link.PrivateKeyJWT, []string{"a", "b"}, tt.assertion
			if a := oauth.New(oauth.Options{Loopback: true}).Refresh(t.Context(), r.Requesting(link.JWTBearer, tt.subject), domain.Secret{}, nil, keepNothing); a.Class != answer.Issued {
				t.Fatalf("%+v", a)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(form)), " "); got != tt.form {
				t.Errorf("sent %s, want %s", got, tt.form)
			}
			for name, want := range tt.claims {
				if got := claim(t, form.Get("assertion"), name); got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
		})
	}
}

// claim reads one of a JWT's; a list of one is that one.
func claim(t *testing.T, token, name string) any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("no JWT")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	if list, ok := claims[name].([]any); ok && len(list) == 1 {
		return list[0]
	}
	return claims[name]
}

// An assertion is made anew when the server wants its nonce in a proof.
func TestJWTBearerWithNonce(t *testing.T) {
	secret, _ := testenv.ClientKey(t, jose.RS256)
	sent := map[string]bool{}
	refuse := demanding(says(200, `{"access_token":"at","token_type":"DPoP"}`))
	endpoint, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		sent[r.PostFormValue("assertion")] = true
		refuse(w, r)
	})
	r := bound(endpoint)
	r.ClientSecret, r.AuthStyle = secret, link.PrivateKeyJWT
	a := oauth.New(oauth.Options{Loopback: true}).Refresh(t.Context(), r.Requesting(link.JWTBearer, "anna"), domain.Secret{}, nil, keepNothing)
	if a.Class != answer.Issued || len(sent) != 2 {
		t.Errorf("%d assertions: %+v", len(sent), a)
	}
}
