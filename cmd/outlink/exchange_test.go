package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outlink/domain/link"
	"outlink/internal/testenv"
)

// A token is exchanged through the real binary: a person consents to one link, and
// another has its tokens for those of the first, while both are renewed.
func TestTokenExchange(t *testing.T) {
	t.Parallel()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: 30 * time.Second, Metadata: map[string]any{
		"grant_types": []string{"authorization_code", "refresh_token", string(link.TokenExchange)},
	}})
	d := startDev(t, t.TempDir(), "--no-seed")
	d.authorize(peer, "--issuer", peer.Issuer)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(peer.ClientSecret.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	create := []string{
		"link", "create", "--name", "exchanged", "--client-id", peer.ClientID, "--client-secret-file", secret, "--auth-style", string(peer.AuthStyle),
		"--grant-type", string(link.TokenExchange), "--token-endpoint", peer.TokenEndpoint, "--scopes", "openid",
	}
	if out, code := d.cli(create...); code != 2 || !strings.Contains(out, "subject_link_id") {
		t.Errorf("an exchange of nothing: exit %d\n%s", code, out)
	}
	d.get(&struct{}{}, append(create, "--exchange-link", "peer")...)
	if out, code := d.cli("grant", "request", "exchanged", "--subject", "nobody"); code != 4 || !strings.Contains(out, "authorize that first") {
		t.Errorf("nobody's token: exit %d\n%s", code, out)
	}
	d.get(&struct{}{}, "grant", "request", "exchanged")
	var first, second struct {
		AccessToken string `json:"access_token"`
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out, code := d.cli("token", "get", "exchanged", "-o", "json")
		if code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no token: exit %d\n%s", code, out)
		}
	}
	d.get(&first, "token", "get", "peer")
	d.get(&second, "token", "get", "exchanged")
	if first.AccessToken == "" || second.AccessToken == "" || first.AccessToken == second.AccessToken {
		t.Error("the exchanged token is the one that was given")
	}
	if out, code := d.cli("events", "export"); code != 0 || strings.Contains(out, first.AccessToken) || strings.Contains(out, second.AccessToken) {
		t.Errorf("exit %d; the events hold a token", code)
	}
	d.interrupt()
}
