package oauth_test

import (
	"net/http"
	"net/url"
	"testing"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
)

// The access token of one grant is exchanged for another (RFC 8693), at two
// servers: one has it by itself, the other by a handler that looks the token up.
func TestTokenExchange(t *testing.T) {
	for name, start := range map[string]func() testenv.Peer{
		"zitadel/oidc": func() testenv.Peer { return testenv.Zitadel(t) },
		"oidc-provider": func() testenv.Peer {
			return testenv.OIDCProvider(t, testenv.OIDCOptions{Metadata: map[string]any{
				"grant_types": []string{"authorization_code", "refresh_token", string(link.TokenExchange)},
			}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			peer, c := start(), oauth.New(oauth.Options{Loopback: true})
			r, a := peer.Authorize(t, c)
			if a.Class != answer.Issued {
				t.Fatalf("%+v", a)
			}
			r.Scopes, r.SubjectToken = []string{"openid"}, a.Token.AccessToken
			r.Exchange.RequestedTokenType = link.AccessTokenType
			for range 2 { // nothing is used up
				b := c.Refresh(t.Context(), r.Requesting(link.TokenExchange, "default"), domain.Secret{}, nil, keepNothing)
				if b.Class != answer.Issued || b.Token.TokenType != answer.Bearer || b.Token.AccessToken.Equal(a.Token.AccessToken) || b.Requests != 1 {
					t.Fatalf("%+v", b)
				}
			}
			r.SubjectToken = domain.NewSecret("nobody-issued-this")
			if b := c.Refresh(t.Context(), r.Requesting(link.TokenExchange, "default"), domain.Secret{}, nil, keepNothing); b.Class != answer.ConfigError || b.Code != "invalid_request" {
				t.Errorf("a token that is none: %+v", b)
			}
		})
	}
}

// What is sent is what the link says, and nothing that it does not.
func TestTokenExchangeRequest(t *testing.T) {
	for _, tt := range []struct {
		exchange link.Exchange
		form     url.Values
		kind     string
	}{
		{link.Exchange{}, url.Values{"subject_token_type": {link.AccessTokenType}}, answer.Bearer},
		{
			link.Exchange{SubjectTokenType: "urn:x:jwt", RequestedTokenType: "urn:x:saml", Audience: "https://api.example"},
			url.Values{"subject_token_type": {"urn:x:jwt"}, "requested_token_type": {"urn:x:saml"}, "audience": {"https://api.example"}}, answer.NotApplicable,
		},
	} {
		var form url.Values
		endpoint, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
			form = r.PostForm
			says(200, `{"access_token":"at","token_type":"`+tt.kind+`","issued_token_type":"urn:x:saml"}`)(w, r)
		})
		r := at(endpoint)
		r.Exchange, r.SubjectToken = tt.exchange, domain.NewSecret("subject's")
		a := oauth.New(oauth.Options{Loopback: true}).Refresh(t.Context(), r.Requesting(link.TokenExchange, "anna"), domain.Secret{}, nil, keepNothing)
		tt.form.Set("grant_type", string(link.TokenExchange))
		tt.form.Set("subject_token", "subject's")
		if a.Class != answer.Issued || a.Token.TokenType != tt.kind || form.Encode() != tt.form.Encode() {
			t.Errorf("%+v\nsent %s\nwant %s", a, form.Encode(), tt.form.Encode())
		}
	}
}
