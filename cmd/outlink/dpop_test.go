package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands/client"
	"outlink/domain/link"
	"outlink/internal/testenv"
)

// Tokens of a public client that are bound to the grant's key, through the real
// binary, at a provider that wants its own nonce in each proof: the consent,
// renewals over a restart, and userinfo by the Go client and by the command line.
func TestDPoP(t *testing.T) {
	t.Parallel()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{
		AccessTokenTTL: 5 * time.Second, AuthStyle: link.None, DPoPNonce: true, Metadata: map[string]any{"dpop_bound_access_tokens": true},
	})
	dir := t.TempDir()
	d := startDev(t, dir, "--no-seed")
	d.authorize(peer, "--issuer", peer.Issuer, "--dpop")
	d.until(3)
	d.interrupt()
	d = startDev(t, dir, "--no-seed")
	d.until(5)
	if requests := peer.Requests(); requests["authorization_code"] != 2 || requests["refresh_token"] < 4 || requests["refresh_token"] > 7 {
		t.Errorf("requests %v; a node learns the nonce once", requests)
	}

	nc, err := nats.Connect(d.at.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var view struct {
		Link uuid.UUID `json:"link_id"`
	}
	d.get(&view, "link", "show", "peer")
	c := client.New(nc, "")
	h := c.HTTPClient(view.Link, "")
	for range 2 { // the first has no nonce yet
		if status, body := get(t, h, peer.Issuer+"/me?a=b"); status != http.StatusOK || !strings.Contains(body, `"sub"`) {
			t.Errorf("userinfo answers %d: %s", status, body)
		}
	}
	if n := peer.Requests()["userinfo"]; n != 3 {
		t.Errorf("%d requests for two of userinfo", n)
	}
	if _, err := c.TokenSource(t.Context(), view.Link, "").Token(); err == nil || !strings.Contains(err.Error(), "HTTPClient") {
		t.Errorf("a token source for what needs proofs: %v", err)
	}
	d.useProof(peer.Issuer + "/me")
	d.interrupt()
}

// useProof does by hand what the client does: a request without nonce, then one
// with it, each with a proof of its own.
func (d *dev) useProof(url string) {
	d.t.Helper()
	nonce := "none-yet"
	for _, want := range []int{http.StatusUnauthorized, http.StatusOK} {
		var token client.Token
		d.get(&token, "token", "get", "peer", "--dpop", "GET "+url, "--dpop-nonce", nonce)
		req, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, url, nil)
		if err != nil {
			d.t.Fatal(err)
		}
		req.Header.Set("Authorization", token.TokenType+" "+token.AccessToken)
		req.Header.Set("DPoP", token.DPoPProof)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		_ = res.Body.Close()
		if nonce = res.Header.Get("DPoP-Nonce"); res.StatusCode != want {
			d.t.Errorf("userinfo answers %d, want %d: %s", res.StatusCode, want, res.Header.Get("WWW-Authenticate"))
		}
	}
	if out, code := d.cli("token", "get", "peer", "--dpop", "GET me"); code != 2 && code != 4 {
		d.t.Errorf("a proof for no URL: exit %d\n%s", code, out)
	}
}

func get(t *testing.T, h *http.Client, url string) (int, string) {
	t.Helper()
	res, err := h.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
