package oauth_test

import (
	"slices"
	"testing"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
)

func keepNothing(answer.Raw) error { return nil }

// Both peers rotate; they differ in what a second use of a token costs.
func TestFlow(t *testing.T) {
	for _, tt := range []struct {
		name       string
		peer       func(testing.TB) testenv.Peer
		lifetime   time.Duration
		familyDies bool
	}{
		{"oidc-provider basic", func(t testing.TB) testenv.Peer { return testenv.OIDCProvider(t, testenv.OIDCOptions{}) }, 5 * time.Second, true},
		{"oidc-provider body", func(t testing.TB) testenv.Peer {
			return testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: time.Minute, AuthStyle: link.Body})
		}, time.Minute, true},
		{"zitadel", testenv.Zitadel, 5 * time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			peer, c := tt.peer(t), oauth.New(oauth.Options{Loopback: true})
			r, a := peer.Authorize(t, c)
			// zitadel rounds down what is left of the lifetime
			if a.Class != answer.Issued || a.Requests != 1 || a.Token.Lifetime > tt.lifetime || a.Token.Lifetime < tt.lifetime-2*time.Second {
				t.Fatalf("Exchange: %+v, token %+v", a, a.Token)
			}
			wrong := r
			wrong.ClientSecret = domain.NewSecret("wrong")
			if a := c.Refresh(t.Context(), wrong, a.Token.RefreshToken, nil, keepNothing); a.Class != answer.ClientRejected {
				t.Errorf("wrong client secret: %+v", a)
			}
			tokens := []domain.Secret{a.Token.RefreshToken}
			for range 3 {
				current := tokens[len(tokens)-1]
				a := c.Refresh(t.Context(), r, current, nil, keepNothing)
				if a.Class != answer.Issued || a.Token.RefreshToken.IsZero() || a.Token.AccessToken.IsZero() {
					t.Fatalf("Refresh: %+v", a)
				}
				if slices.ContainsFunc(tokens, a.Token.RefreshToken.Equal) {
					t.Fatal("the refresh token did not rotate")
				}
				tokens = append(tokens, a.Token.RefreshToken)
			}
			if a := c.Refresh(t.Context(), r, tokens[0], nil, keepNothing); a.Class != answer.GrantInvalid || a.Code != "invalid_grant" {
				t.Errorf("a used refresh token: %+v", a)
			}
			want := answer.Issued
			if tt.familyDies {
				want = answer.GrantInvalid
			}
			last := c.Refresh(t.Context(), r, tokens[3], nil, keepNothing)
			if last.Class != want {
				t.Errorf("the newest token after a second use of an old one: %s, want %s", last.Class, want)
			}
			if n := peer.Requests()["refresh_token"]; n != 5 && n != 6 { // a peer may count the wrong client elsewhere
				t.Errorf("%d refresh requests reached the peer", n)
			}
		})
	}
}

func TestRevoke(t *testing.T) {
	for name, peer := range map[string]func(testing.TB) testenv.Peer{
		"oidc-provider": func(t testing.TB) testenv.Peer { return testenv.OIDCProvider(t, testenv.OIDCOptions{}) },
		"zitadel":       testenv.Zitadel,
	} {
		t.Run(name, func(t *testing.T) {
			c := oauth.New(oauth.Options{Loopback: true})
			r, a := peer(t).Authorize(t, c)
			if a.Class != answer.Issued {
				t.Fatalf("Exchange: %+v", a)
			}
			if err := c.Revoke(t.Context(), r, a.Token.RefreshToken, "refresh_token"); err != nil {
				t.Fatal(err)
			}
			if a := c.Refresh(t.Context(), r, a.Token.RefreshToken, nil, keepNothing); a.Class != answer.GrantInvalid {
				t.Errorf("a revoked refresh token: %+v", a)
			}
		})
	}
}
