package catalogue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"outlink/domain"
	"outlink/domain/provider"
	"outlink/internal/catalogue"
)

func TestLoad(t *testing.T) {
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range c.All() {
		keys = append(keys, p.Key)
	}
	want := "atlassian box custom dropbox github gitlab google hubspot linkedin microsoft notion quickbooks salesforce slack xero zoho zoom"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("providers = %s\n      want %s", got, want)
	}
	google, err := c.Get("google")
	if err != nil || google.Lifetimes.RefreshIdle != 180*24*time.Hour || google.AuthorizationParams["access_type"] != "offline" {
		t.Errorf("google = %+v, %v", google, err)
	}
}

func TestGetUnknownListsTheKnown(t *testing.T) {
	c, _ := catalogue.Load()
	_, err := c.Get("gogle")
	if !errors.Is(err, &domain.Error{Code: domain.InvalidArgument}) || !strings.Contains(err.Error(), "google") {
		t.Errorf("error = %v", err)
	}
}

func TestWithAddsAnEntry(t *testing.T) {
	c, _ := catalogue.Load()
	d := c.With(provider.Provider{Key: "demo"})
	if _, err := d.Get("demo"); err != nil {
		t.Error(err)
	}
	if _, err := c.Get("demo"); err == nil {
		t.Error("With changed its receiver")
	}
}

func TestParseRefuses(t *testing.T) {
	const good = `
- key: acme
  name: Acme
  authorization_endpoint: https://acme.example/authorize
  token_endpoint: https://acme.example/token
  auth_style: body
  redirect: {}
  rotation: {kind: strict}
  source: https://acme.example/docs
  verified: 2026-11-23
`
	if _, err := catalogue.Parse(strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ old, new, want string }{
		"an unknown key":            {"redirect:", "redirection:", "redirection"},
		"a key with capitals":       {"key: acme", "key: Acme", "lower-case"},
		"no source":                 {"source: https://acme.example/docs", "", "source"},
		"no day of verification":    {"verified: 2026-11-23", "verified: yesterday", "verified"},
		"an endpoint without TLS":   {"https://acme.example/token", "http://acme.example/token", "not HTTPS"},
		"only one endpoint":         {"token_endpoint: https://acme.example/token", "", "token_endpoint is missing"},
		"an unknown rotation":       {"kind: strict", "kind: sometimes", "rotation.kind"},
		"grace without a time":      {"kind: strict", "kind: grace", "rotation.grace"},
		"a time without grace":      {"kind: strict", "kind: strict, grace: 1m", "rotation.grace"},
		"an unknown error class":    {"redirect: {}", "redirect: {}\n  errors: {oops: issued}", "oops"},
		"a param of the protocol":   {"redirect: {}", "redirect: {}\n  authorization_params: {state: x}", "state"},
		"an unknown auth style":     {"auth_style: body", "auth_style: header", "auth_style"},
		"an unknown request format": {"redirect: {}", "redirect: {}\n  token_request: xml", "token_request"},
		"an unknown revocation":     {"redirect: {}", "redirect: {}\n  revocation: world", "revocation"},
		"a fixed end without one":   {"redirect: {}", "redirect: {}\n  lifetimes: {refresh_fixed: true}", "refresh_fixed"},
		"the same entry twice":      {"- key: acme", good[1:] + "- key: acme", "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalogue.Parse(strings.NewReader(strings.Replace(good, tt.old, tt.new, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one about %q", err, tt.want)
			}
		})
	}
}

func TestPublicSuffix(t *testing.T) {
	for host, want := range map[string]bool{
		"outlink.example.com": true, "example.co.uk": true, "me.github.io": true, "EXAMPLE.COM.": true, "www.xn--mgba3a4f16a.ir": true,
		"com": false, "co.uk": false, "localhost": false, "outlink": false, "outlink.local": false, "outlink.internal": false,
		"outlink.corp": false, "": false, "10.0.0.1": false,
	} {
		if got := catalogue.PublicSuffix(host); got != want {
			t.Errorf("PublicSuffix(%q) = %v", host, got)
		}
	}
}
