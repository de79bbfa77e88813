package provider_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
)

var (
	id     = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	custom = provider.Provider{Key: "custom", Name: "the provider", PublicClients: true}
	google = provider.Provider{
		Key: "google", Name: "Google", AuthorizationEndpoint: "https://accounts.google.example/auth", TokenEndpoint: "https://oauth2.google.example/token",
		Redirect:            provider.RedirectPolicy{PublicHost: true, LocalhostHTTP: true, RefusedHosts: []string{"googleusercontent.example"}},
		AuthorizationParams: map[string]string{"access_type": "offline"}, RequiredScopes: []string{"openid"}, AuthStyle: link.Body,
	}
	production = provider.Policy{
		PublicURL:    "https://outlink.example.com",
		PublicSuffix: func(host string) bool { return strings.HasSuffix(host, ".example.com") },
	}
)

func valid() link.Config {
	return link.Config{
		Name: "crm", Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Basic,
		AuthorizationEndpoint: "https://op.example.com/authorize", TokenEndpoint: "https://op.example.com/token",
	}
}

// bearer has a client request its tokens by assertions.
func bearer(c *link.Config) {
	c.GrantTypes, c.AuthStyle = []link.GrantType{link.JWTBearer}, link.PrivateKeyJWT
}

// exchange has a client exchange the tokens of another link.
func exchange(c *link.Config) {
	c.GrantTypes, c.Exchange = []link.GrantType{link.TokenExchange}, link.Exchange{Link: uuid.New()}
}

// What a link must satisfy, each rule with its own words.
func TestCheck(t *testing.T) {
	development := production
	development.LoopbackHTTP = true
	internal := production
	internal.AllowedPrefixes = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for name, tt := range map[string]struct {
		change func(*link.Config)
		policy provider.Policy
		says   string // "" means that it is taken
	}{
		"valid":                       {func(*link.Config) {}, production, ""},
		"no name":                     {func(c *link.Config) { c.Name = " " }, production, "name is missing"},
		"long name":                   {func(c *link.Config) { c.Name = strings.Repeat("x", 121) }, production, "121 characters"},
		"name with a line break":      {func(c *link.Config) { c.Name = "a\nb" }, production, "control characters"},
		"no client id":                {func(c *link.Config) { c.ClientID = "" }, production, "client_id is missing"},
		"client id with a line break": {func(c *link.Config) { c.ClientID = "a\r\nb" }, production, "printable ASCII"},
		"unknown auth style":          {func(c *link.Config) { c.AuthStyle = "magic" }, production, `"magic" is unknown`},
		"a signing key for a secret":  {func(c *link.Config) { c.AuthStyle = link.PrivateKeyJWT }, production, ""},
		"a resource":                  {func(c *link.Config) { c.Resources = []string{"https://api.example.com/v1?x=1", "urn:example:api"} }, production, ""},
		"a resource with a fragment":  {func(c *link.Config) { c.Resources = []string{"https://api.example.com/#v1"} }, production, "RFC 8707"},
		"a relative resource":         {func(c *link.Config) { c.Resources = []string{"/api"} }, production, "RFC 8707"},
		"a resource as a parameter":   {func(c *link.Config) { c.AuthorizationParams = map[string]string{"resource": "x"} }, production, "must not set resource"},
		"public client with a secret": {func(c *link.Config) { c.AuthStyle = link.None }, production, "never sends it"},
		"no scopes":                   {func(c *link.Config) { c.Scopes = nil }, production, "scopes are missing"},
		"scope with a space":          {func(c *link.Config) { c.Scopes = []string{"a b"} }, production, "RFC 6749 section 3.3"},
		"scope with a quote":          {func(c *link.Config) { c.Scopes = []string{`a"b`} }, production, "RFC 6749 section 3.3"},
		"scope with a backslash":      {func(c *link.Config) { c.Scopes = []string{`a\b`} }, production, "RFC 6749 section 3.3"},
		"scope that is a URL":         {func(c *link.Config) { c.Scopes = []string{"https://www.example.com/auth/drive.file"} }, production, ""},
		"empty scope":                 {func(c *link.Config) { c.Scopes = []string{""} }, production, "RFC 6749 section 3.3"},
		"no token endpoint":           {func(c *link.Config) { c.TokenEndpoint = "" }, production, "token_endpoint is missing"},
		"no authorization endpoint":   {func(c *link.Config) { c.AuthorizationEndpoint = "" }, production, "authorization_endpoint is missing"},
		"not HTTPS":                   {func(c *link.Config) { c.TokenEndpoint = "http://op.example.com/t" }, production, "is not HTTPS"},
		"another scheme":              {func(c *link.Config) { c.TokenEndpoint = "ftp://op.example.com/t" }, production, "is not HTTPS"},
		"no URL":                      {func(c *link.Config) { c.TokenEndpoint = "https://op example.com/t" }, production, "no URL"},
		"relative":                    {func(c *link.Config) { c.TokenEndpoint = "/token" }, production, "no host"},
		"userinfo":                    {func(c *link.Config) { c.TokenEndpoint = "https://me:hunter2@op.example.com/t" }, production, "user name or password"},
		"fragment":                    {func(c *link.Config) { c.TokenEndpoint = "https://op.example.com/t#x" }, production, "fragment"},
		"empty fragment":              {func(c *link.Config) { c.TokenEndpoint = "https://op.example.com/t#" }, production, "fragment"},
		"loopback":                    {func(c *link.Config) { c.TokenEndpoint = "https://127.0.0.1/t" }, production, "loopback address"},
		"localhost":                   {func(c *link.Config) { c.TokenEndpoint = "https://localhost/t" }, production, "on this machine"},
		"below localhost":             {func(c *link.Config) { c.TokenEndpoint = "https://a.localhost./t" }, production, "on this machine"},
		"http loopback, development":  {func(c *link.Config) { c.TokenEndpoint = "http://127.0.0.1:8080/t" }, development, ""},
		"http localhost, development": {func(c *link.Config) { c.TokenEndpoint = "http://localhost:8080/t" }, development, ""},
		"http elsewhere, development": {func(c *link.Config) { c.TokenEndpoint = "http://op.example.com/t" }, development, "is not HTTPS"},
		"private":                     {func(c *link.Config) { c.TokenEndpoint = "https://10.1.2.3/t" }, production, "private address 10.1.2.3"},
		"private, allowed":            {func(c *link.Config) { c.TokenEndpoint = "https://10.1.2.3/t" }, internal, ""},
		"private, another prefix":     {func(c *link.Config) { c.TokenEndpoint = "https://10.2.2.3/t" }, internal, "private address"},
		"mapped private":              {func(c *link.Config) { c.TokenEndpoint = "https://[::ffff:10.1.2.3]/t" }, production, "private address"},
		"link-local":                  {func(c *link.Config) { c.TokenEndpoint = "https://169.254.169.254/t" }, production, "link-local address"},
		"unique local":                {func(c *link.Config) { c.TokenEndpoint = "https://[fd00::1]/t" }, production, "private address"},
		"NAT64":                       {func(c *link.Config) { c.TokenEndpoint = "https://[64:ff9b::a01:203]/t" }, production, "special-purpose address"},
		"carrier-grade NAT":           {func(c *link.Config) { c.TokenEndpoint = "https://100.64.0.1/t" }, production, "special-purpose address"},
		"zone":                        {func(c *link.Config) { c.TokenEndpoint = "https://[fe80::1%25eth0]/t" }, production, "zone"},
		"address as a number":         {func(c *link.Config) { c.TokenEndpoint = "https://0x7f000001/t" }, production, "number for a host"},
		"short address":               {func(c *link.Config) { c.TokenEndpoint = "https://127.1/t" }, production, "number for a host"},
		"public address":              {func(c *link.Config) { c.TokenEndpoint = "https://203.0.114.7/t" }, production, ""},
		"protocol parameter in a URL": {func(c *link.Config) { c.AuthorizationEndpoint += "?state=1" }, production, "parameter state"},
		"other parameter in a URL":    {func(c *link.Config) { c.AuthorizationEndpoint += "?tenant=1" }, production, ""},
		"protocol parameter":          {func(c *link.Config) { c.AuthorizationParams = map[string]string{"Redirect_URI": "x"} }, production, "must not set Redirect_URI"},
		"prompt none":                 {func(c *link.Config) { c.AuthorizationParams = map[string]string{"prompt": "none"} }, production, "asks nobody for consent"},
		"form post":                   {func(c *link.Config) { c.AuthorizationParams = map[string]string{"response_mode": "form_post"} }, production, "response_mode"},
		"issuer with a query":         {func(c *link.Config) { c.Issuer = "https://op.example.com?x=1" }, production, "RFC 8414"},
		"assertions": {func(c *link.Config) {
			bearer(c)
			c.Assertion = link.Assertion{Subject: "robot", Scopes: link.Nowhere}
		}, production, ""},
		"assertions without a key":  {func(c *link.Config) { bearer(c); c.AuthStyle = link.Body }, production, `auth_style "private_key_jwt"`},
		"an assertion for nothing":  {func(c *link.Config) { c.Assertion.Subject = "robot" }, production, "leave the assertion out"},
		"a claim with a line break": {func(c *link.Config) { bearer(c); c.Assertion.Audience = "a\nb" }, production, "assertion.audience"},
		"scopes somewhere":          {func(c *link.Config) { bearer(c); c.Assertion.Scopes = "somewhere" }, production, "assertion.scopes is"},
		"an exchange": {func(c *link.Config) {
			exchange(c)
			c.Exchange.RequestedTokenType = "urn:ietf:params:oauth:token-type:id_token"
		}, production, ""},
		"an exchange of nothing":       {func(c *link.Config) { exchange(c); c.Exchange = link.Exchange{} }, production, "subject_link_id is missing"},
		"an exchange for nothing":      {func(c *link.Config) { exchange(c); c.GrantTypes = nil }, production, "leave the exchange out"},
		"a token type that is none":    {func(c *link.Config) { exchange(c); c.Exchange.SubjectTokenType = "jwt" }, production, "RFC 8693"},
		"revocation endpoint, private": {func(c *link.Config) { c.RevocationEndpoint = "https://192.168.0.1/r" }, production, "private address"},
	} {
		t.Run(name, func(t *testing.T) {
			c := valid()
			tt.change(&c)
			err := custom.Check(c, true, tt.policy)
			if tt.says == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if domain.CodeOf(err) != domain.InvalidArgument || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want invalid_argument with %q", err, tt.says)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
	if err := custom.Check(valid(), false, production); err == nil || !strings.Contains(err.Error(), "client_secret is missing") {
		t.Errorf("without a secret: %v", err)
	}
	if err := google.Check(valid(), true, production); err == nil || !strings.Contains(err.Error(), "no refresh token") {
		t.Errorf("without a scope that the provider requires: %v", err)
	}
}

// Everything that is wrong is told at once, field by field.
func TestCheckTellsAll(t *testing.T) {
	err := custom.Check(link.Config{AuthStyle: link.Basic}, false, production)
	for _, field := range []string{"name", "client_id", "client_secret", "scopes", "authorization_endpoint", "token_endpoint"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

// The redirect URL as the provider would take it.
func TestRedirectURL(t *testing.T) {
	for name, tt := range map[string]struct {
		provider provider.Provider
		public   string
		want     string // the URL, or a part of the refusal
	}{
		"public name":            {google, "https://outlink.example.com", "https://outlink.example.com/oauth/callback/" + id.String()},
		"trailing slash":         {google, "https://outlink.example.com/", "https://outlink.example.com/oauth/callback/" + id.String()},
		"localhost is exempt":    {google, "http://localhost:8480", "http://localhost:8480/oauth/callback/" + id.String()},
		"raw address":            {google, "https://203.0.114.7", "raw IP address"},
		"private address":        {google, "https://10.0.0.5", "external HTTPS URL of your load balancer"},
		"private name":           {google, "https://outlink.corp", "not one under a public suffix"},
		"refused host":           {google, "https://x.googleusercontent.example", "give a host name of your own"},
		"not HTTPS":              {google, "http://outlink.example.com", "is not HTTPS"},
		"another provider, name": {custom, "https://outlink.corp", "https://outlink.corp/oauth/callback/" + id.String()},
		"another, localhost":     {custom, "http://localhost:8480", "refuses even for development"},
		"not configured":         {google, "", "is not configured"},
		"with a query":           {google, "https://outlink.example.com?x=1", "leave that out"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := production
			policy.PublicURL = tt.public
			got, err := tt.provider.RedirectURL(policy, id, valid())
			if strings.HasPrefix(tt.want, "http") {
				if err != nil || got != tt.want {
					t.Errorf("got %s, %v; want %s", got, err, tt.want)
				}
			} else if domain.CodeOf(err) != domain.InvalidArgument || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s, %v; want a refusal with %q", got, err, tt.want)
			}
		})
	}
	if _, err := custom.RedirectURL(production, id, link.Config{TokenEndpoint: "https://op.example.com/t"}); err == nil || !strings.Contains(err.Error(), "endpoint") {
		t.Errorf("without both endpoints: %v", err)
	}
}

// A provider presets what is left out, and nothing else.
func TestComplete(t *testing.T) {
	c := google.Complete(link.Config{Scopes: []string{"email"}, AuthorizationParams: map[string]string{"access_type": "online"}})
	if c.TokenEndpoint != google.TokenEndpoint || c.AuthStyle != link.Body || strings.Join(c.Scopes, " ") != "email openid" || c.AuthorizationParams["access_type"] != "online" {
		t.Errorf("completed to %+v", c)
	}
	half := google.Complete(link.Config{AuthorizationEndpoint: "https://tenant.example.com/auth"})
	if half.TokenEndpoint != "" {
		t.Errorf("half of the endpoints were preset: %+v", half)
	}
	robot := google
	robot.Assertion = link.Assertion{Audience: "https://google.example", Alone: true}
	asserting := link.Config{GrantTypes: []link.GrantType{link.JWTBearer}, Assertion: link.Assertion{Audience: "https://other.example"}}
	if got := robot.Complete(asserting).Assertion; got != (link.Assertion{Audience: "https://other.example", Alone: true}) {
		t.Errorf("the assertion is completed to %+v", got)
	}
	if got := robot.Complete(link.Config{}).Assertion; got != (link.Assertion{}) {
		t.Errorf("a link without assertions has %+v", got)
	}
	demanding := google
	demanding.DPoP = true
	if !demanding.Complete(link.Config{}).DPoP || google.Complete(link.Config{}).DPoP || !google.Complete(link.Config{DPoP: true}).DPoP {
		t.Error("tokens are bound where the provider demands it, or the link asks for it")
	}
}
