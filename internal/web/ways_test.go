package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain/link"
)

// Whatever the form says of the ways to a token reaches the command; what is wrong
// is said beside its field, in a part of the page that is open then.
func TestFormHasEveryWay(t *testing.T) {
	w, srv := start(t)
	form := url.Values{"id": {uuid.NewString()}, "provider": {"custom"}, "name": {"Ledger"}, "client_id": {"client-3"}, "scopes": {"read"}, "auth_style": {"private_key_jwt"},
		"token_endpoint": {"https://id.example.com/token"}, "client_key": {"-----BEGIN\nk3y-value\n-----END"}, "client_secret": {"s3cr3t-value"},
		"grant_types":                   {string(link.JWTBearer), string(link.TokenExchange), string(link.DeviceCode)},
		"device_authorization_endpoint": {"https://id.example.com/device"}, "pushed_authorization_request_endpoint": {"https://id.example.com/par"},
		"resources": {"https://api.example.com/ urn:example:two"}, "dpop_bound_access_tokens": {"true"},
		"assertion.issuer": {"iss"}, "assertion.subject": {"sub"}, "assertion.audience": {"aud"}, "assertion.scopes": {"assertion"}, "assertion.no_subject": {"true"}, "assertion.alone": {"true"},
		"exchange.subject_link_id": {"the other"}, "exchange.subject": {"anna"}, "exchange.audience": {"whom"},
		"exchange.subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}, "exchange.requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
	post := func(status int, wants ...string) {
		t.Helper()
		r, err := client.PostForm(srv.URL+"/links", form)
		r, html := body(t, r, err)
		if r.StatusCode != status {
			t.Errorf("status %d, want %d: %s", r.StatusCode, status, html)
		}
		for _, want := range wants {
			if !strings.Contains(html, want) {
				t.Errorf("the form has no %q", want)
			}
		}
		if strings.Contains(html, "k3y-value") || strings.Contains(html, "s3cr3t-value") {
			t.Error("a secret is repeated")
		}
	}
	post(400, `<details class="ways" open>`, `id="client_key-problem"`, `value="the other"`)
	form.Del("client_secret")
	post(400, `id="exchange.subject_link_id-problem"`, `value="the other"`, `value="whom"`)
	other := uuid.New()
	form.Set("exchange.subject_link_id", other.String())
	key := form.Get("client_key")
	form.Del("client_key")
	post(400, `<details class="ways" open>`, `id="client_key-problem"`)
	form.Set("client_key", key+"\r\n")
	form.Set("resources", "/relative")
	post(400, `id="resources-problem"`, other.String())
	form.Set("resources", "https://api.example.com/ urn:example:two")
	post(303)

	want := commands.Draft{
		Name: "Ledger", Provider: "custom", ClientID: "client-3", Scopes: []string{"read"}, AuthStyle: link.PrivateKeyJWT, TokenEndpoint: "https://id.example.com/token",
		GrantTypes:     []link.GrantType{link.JWTBearer, link.TokenExchange, link.DeviceCode},
		DeviceEndpoint: "https://id.example.com/device", PushEndpoint: "https://id.example.com/par", Resources: []string{"https://api.example.com/", "urn:example:two"}, DPoP: true,
		Assertion: link.Assertion{Issuer: "iss", Subject: "sub", Audience: "aud", Scopes: link.InAssertion, NoSubject: true, Alone: true},
		Exchange: link.Exchange{Link: other, Subject: "anna", Audience: "whom",
			SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt", RequestedTokenType: "urn:ietf:params:oauth:token-type:access_token"},
	}
	if d := cmp.Diff(want, w.created.Draft); d != "" {
		t.Errorf("the command (-want +got):\n%s", d)
	}
	if got := w.created.ClientSecret.Clear.Reveal(); got != key {
		t.Errorf("the client key reached the command as %d characters of %d", len(got), len(key))
	}
}

// The form begins with the scope that a refresh token needs. A client that requests
// its tokens itself has none, and the provider refuses that scope beside its own.
func TestFormAsksForNoRefreshTokenInVain(t *testing.T) {
	w, srv := start(t)
	for _, c := range []struct {
		way  link.GrantType
		want []string
	}{
		{link.AuthorizationCode, []string{"offline_access", "Mail.Read"}}, {link.ClientCredentials, []string{"Mail.Read"}},
	} {
		r, err := client.PostForm(srv.URL+"/links", url.Values{"id": {uuid.NewString()}, "provider": {"microsoft"}, "name": {"Mail"}, "client_id": {"c"}, "client_secret": {"s"},
			"scopes": {"offline_access Mail.Read"}, "grant_types": {string(c.way)}})
		r, html := body(t, r, err)
		if r.StatusCode != 303 {
			t.Fatalf("%s: %d: %s", c.way, r.StatusCode, html)
		}
		if d := cmp.Diff(c.want, w.created.Scopes); d != "" {
			t.Errorf("%s: scopes (-want +got):\n%s", c.way, d)
		}
	}
}

// The page of a link offers what its ways to a token allow, and tells of them.
func TestLinkOffersItsWays(t *testing.T) {
	w, srv := start(t)
	page := func(change func(*link.Config)) string {
		t.Helper()
		w.change(func() { change(&w.links[0].State.Config) })
		r, err := client.Get(srv.URL + "/links/" + linkA.String())
		_, html := body(t, r, err)
		return html
	}
	const authorize, request, device, way = "/authorize\"", "/request\"", "/device\"", `<select name="grant_type">`
	for name, c := range map[string]struct {
		types []link.GrantType
		has   map[string]bool
	}{
		"a person":    {nil, map[string]bool{authorize: true}},
		"a device":    {[]link.GrantType{link.DeviceCode}, map[string]bool{device: true}},
		"the client":  {[]link.GrantType{link.ClientCredentials}, map[string]bool{request: true}},
		"any of them": {link.GrantTypes(), map[string]bool{authorize: true, device: true, request: true, way: true}},
	} {
		html := page(func(l *link.Config) { l.GrantTypes = c.types })
		for _, what := range []string{authorize, request, device, way} {
			if strings.Contains(html, what) != c.has[what] {
				t.Errorf("%s: the page has %s: %v", name, what, !c.has[what])
			}
		}
	}
	html := page(func(l *link.Config) {
		l.GrantTypes, l.DPoP, l.Resources = link.GrantTypes(), true, []string{"urn:example:one"}
		l.Assertion.Issuer, l.Exchange.Link = "an-issuer", grantA
	})
	for _, want := range []string{"(DPoP)", "urn:example:one", "an-issuer", grantA.String(), "in exchange for a token of another link"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page does not tell of %q", want)
		}
	}
}

// The code for another device is on the page that answers the form, and in no address.
func TestCodeForAnotherDevice(t *testing.T) {
	w, srv := start(t)
	post := func() (*http.Response, string) {
		r, err := client.PostForm(srv.URL+"/links/"+linkA.String()+"/device", url.Values{"subject": {" anna "}})
		return body(t, r, err)
	}
	r, html := post()
	if r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-store" || !w.began.Device || w.began.Subject != "anna" {
		t.Errorf("status %d, %q; %+v", r.StatusCode, r.Header.Get("Cache-Control"), w.began)
	}
	for _, want := range []string{`value="WDJB-MJHT"`, `href="https://id.example.com/device"`, `href="https://id.example.com/device?user_code=WDJB-MJHT"`, "It ends <time", "in 15 min</time> and", "/links/" + linkA.String()} {
		if !strings.Contains(html, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	w.refused = true
	if r, html = post(); r.StatusCode != 412 || !strings.Contains(html, "authorization is over") {
		t.Errorf("refused: status %d: %s", r.StatusCode, html)
	}
}
