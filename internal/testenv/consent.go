package testenv

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"golang.org/x/oauth2"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/provider"
	"outlink/internal/oauth"
)

// Authorize consents at the peer and exchanges the code.
func (p Peer) Authorize(t testing.TB, c *oauth.Client) (provider.Registration, answer.Answer) {
	t.Helper()
	var query url.Values
	callback := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { query = r.URL.Query() }))
	defer callback.Close()
	r, verifier := p.Registration(callback.URL), oauth2.GenerateVerifier()
	page, err := NewBrowser().Authorize(t.Context(), c.AuthorizationURL(r, "the-state", verifier))
	if err != nil {
		t.Fatal(err)
	}
	if query.Get("state") != "the-state" || query.Get("code") == "" {
		t.Fatalf("no code came back; the last page (%d) is\n%s", page.Status, page.Body)
	}
	return r, c.Exchange(t.Context(), r, domain.NewSecret(query.Get("code")), domain.NewSecret(verifier))
}
