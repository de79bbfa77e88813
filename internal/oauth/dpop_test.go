package oauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/oauth2"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
)

// Tokens are bound to the grant's key (RFC 9449), with and without nonces of the
// server, of confidential and of public clients: a public one's refresh token is
// bound too.
func TestDPoP(t *testing.T) {
	for name, o := range map[string]testenv.OIDCOptions{
		"confidential":        {},
		"confidential, nonce": {DPoPNonce: true},
		"public, nonce":       {DPoPNonce: true, AuthStyle: link.None},
		"by key, nonce":       {DPoPNonce: true, AuthStyle: link.PrivateKeyJWT}, // whose assertion is good for one request
	} {
		t.Run(name, func(t *testing.T) {
			o.Metadata = map[string]any{}
			if o.AuthStyle == link.PrivateKeyJWT {
				o.Secret, o.Metadata = testenv.ClientKey(t, "ES256")
			}
			o.Metadata["dpop_bound_access_tokens"] = true
			peer := testenv.OIDCProvider(t, o)
			peer.DPoPKey = domain.NewSecret("seed of the grant")
			c := oauth.New(oauth.Options{Loopback: true})
			r, a := peer.Authorize(t, c)
			for range 2 {
				if a.Class != answer.Issued || a.Token.TokenType != answer.DPoP || a.Requests != 1 {
					t.Fatalf("%+v", a)
				}
				a = c.Refresh(t.Context(), r, a.Token.RefreshToken, nil, keepNothing)
			}
			requests := peer.Requests()
			if want := map[bool]int{false: 2, true: 2}[o.DPoPNonce]; requests["refresh_token"] != want {
				t.Errorf("%v, want %d refreshes: the nonce is remembered", requests, want)
			}
			if o.AuthStyle == link.None {
				other := r
				other.DPoPKey = domain.NewSecret("another seed")
				if a := c.Refresh(t.Context(), other, a.Token.RefreshToken, nil, keepNothing); a.Class != answer.GrantInvalid {
					t.Errorf("another key: %+v", a)
				}
			}
		})
	}
}

// demanding is a server that takes proofs with its nonces only, and says each
// time a new one.
func demanding(then http.HandlerFunc) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("DPoP-Nonce", fmt.Sprint("nonce-", n))
		if n == 1 {
			says(http.StatusBadRequest, `{"error":"use_dpop_nonce"}`)(w, r)
			return
		}
		then(w, r)
	}
}

// The refusal of a proof without nonce used nothing up. It is no request that
// anybody may have acted on, and no try of the grant: what comes of the second
// one counts.
func TestNonceRefusal(t *testing.T) {
	always := says(http.StatusBadRequest, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "another")
	for name, tt := range map[string]struct {
		says     http.HandlerFunc
		class    answer.Class
		requests int // that may have been acted on
		sent     int32
	}{
		"then a token":             {demanding(says(200, `{"access_token":"at","token_type":"DPoP"}`)), answer.Issued, 1, 2},
		"then no answer":           {demanding(hangUp), answer.Ambiguous, 1, 2},
		"then a dead grant":        {demanding(says(400, `{"error":"invalid_grant"}`)), answer.GrantInvalid, 1, 2},
		"refused again":            {always, answer.Transient, 0, 2},
		"refused without a nonce":  {says(400, `{"error":"use_dpop_nonce"}`), answer.Transient, 0, 1},
		"a proof that is no proof": {says(400, `{"error":"invalid_dpop_proof"}`), answer.ConfigError, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			at, sent := server(t, tt.says)
			r := bound(at)
			c := oauth.New(oauth.Options{Loopback: true})
			a := c.Refresh(t.Context(), r, domain.NewSecret("rt"), nil, keepNothing)
			if a.Class != tt.class || a.Requests != tt.requests || sent.Load() != tt.sent {
				t.Errorf("%d requests: %+v", sent.Load(), a)
			}
		})
	}
}

// A lease that ends between the two tries keeps the second one back, and nothing
// was sent then that counts.
func TestGuardBetweenNonceAndRequest(t *testing.T) {
	at, sent := server(t, demanding(says(200, `{"access_token":"at","token_type":"DPoP"}`)))
	asked := 0
	a := oauth.New(oauth.Options{Loopback: true}).Refresh(t.Context(), bound(at), domain.NewSecret("rt"), func() error {
		if asked++; asked == 2 {
			return fmt.Errorf("the lease is over")
		}
		return nil
	}, keepNothing)
	if a.Class != answer.NotSent || a.Requests != 0 || sent.Load() != 1 {
		t.Errorf("%d requests: %+v", sent.Load(), a)
	}
}

// Who sends no proof gets nothing bound, and is told what is missing.
func TestWithoutProof(t *testing.T) {
	c := oauth.New(oauth.Options{Loopback: true})
	for body, class := range map[string]answer.Class{
		`{"error":"use_dpop_nonce"}`:                 answer.ConfigError,
		`{"error":"invalid_dpop_proof"}`:             answer.ConfigError,
		`{"access_token":"at","token_type":"DPoP"}`:  answer.Unreadable,
		`{"access_token":"at","token_type":"other"}`: answer.Unreadable,
	} {
		status := map[bool]int{true: 200, false: 400}[class == answer.Unreadable]
		endpoint, sent := server(t, says(status, body, "DPoP-Nonce", "n"))
		if a := c.Refresh(t.Context(), at(endpoint), domain.NewSecret("rt"), nil, keepNothing); a.Class != class || sent.Load() != 1 {
			t.Errorf("%s: %+v", body, a)
		}
	}
	// A kept answer is read whatever the link says by now.
	raw := answer.Raw{Status: 200, ContentType: "application/json", Body: []byte(`{"access_token":"at","token_type":"dpop"}`)}
	if a := c.Read(at("http://127.0.0.1:1"), raw); a.Class != answer.Issued || a.Token.TokenType != answer.DPoP {
		t.Errorf("%+v", a)
	}
}

func bound(endpoint string) provider.Registration {
	r := at(endpoint)
	r.DPoPKey = domain.NewSecret("seed of the grant")
	return r
}

// The server goes away between the two tries: nothing was sent that counts.
func TestNobodyAfterTheNonce(t *testing.T) {
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = s.Listener.Close()
		says(http.StatusBadRequest, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "n")(w, r)
	}))
	defer s.Close()
	a := oauth.New(oauth.Options{Loopback: true}).Refresh(t.Context(), bound(s.URL), domain.NewSecret("rt"), nil, keepNothing)
	if a.Class != answer.NotSent || a.Requests != 0 {
		t.Errorf("%+v", a)
	}
}

// A pushed request carries a proof, with a nonce where the server wants that, and
// proves the client anew for each try (RFC 9449 section 10.1).
func TestPushAuthorizationWithProof(t *testing.T) {
	secret, registered := testenv.ClientKey(t, "ES256")
	registered["dpop_bound_access_tokens"] = true
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AuthStyle: link.PrivateKeyJWT, Secret: secret, Metadata: registered, DPoPNonce: true})
	peer.DPoPKey = domain.NewSecret("seed of the grant")
	c, r := oauth.New(oauth.Options{Loopback: true}), peer.Registration("http://127.0.0.1:1")
	r.PushEndpoint = peer.Issuer + "/request"
	for _, want := range []int{2, 3} {
		_, a := c.PushAuthorization(t.Context(), r, "the-state", oauth2.GenerateVerifier())
		if n := peer.Requests()["pushed_authorization_request"]; a.Class != answer.Issued || n != want {
			t.Errorf("%d requests: %+v", n, a)
		}
	}
}
