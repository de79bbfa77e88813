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

// A link whose client signs assertions through the real binary: a token for each
// subject that it is asked for, renewed by a new assertion each time.
func TestJWTBearer(t *testing.T) {
	t.Parallel()
	key, registered := testenv.ClientKey(t, "ES256")
	registered["grant_types"], registered["redirect_uris"], registered["response_types"] = []string{string(link.JWTBearer), "client_credentials"}, []string{}, []string{}
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: 5 * time.Second, AuthStyle: link.PrivateKeyJWT, Secret: key, Metadata: registered})
	secret := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(secret, []byte(key.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, t.TempDir(), "--no-seed")
	create := []string{
		"link", "create", "--name", "peer", "--client-id", peer.ClientID, "--client-secret-file", secret, "--grant-type", string(link.JWTBearer),
		"--grant-type", "client_credentials", "--token-endpoint", peer.TokenEndpoint, "--issuer", peer.Issuer, "--scopes", "read",
	}
	if out, code := d.cli(append(create, "--auth-style", "basic")...); code != 2 || !strings.Contains(out, "private_key_jwt") {
		t.Errorf("assertions that no key signs: exit %d\n%s", code, out)
	}
	d.get(&struct{}{}, append(create, "--auth-style", "private_key_jwt")...)
	if out, code := d.cli("grant", "request", "peer", "--subject", "anna"); code != 2 || !strings.Contains(out, "grant_type") {
		t.Errorf("of two ways, none was named: exit %d\n%s", code, out)
	}
	if out, code := d.cli("grant", "request", "peer", "--grant-type", "authorization_code"); code != 4 {
		t.Errorf("a way that is none: exit %d\n%s", code, out)
	}
	d.get(&struct{}{}, "grant", "request", "peer", "--subject", "anna", "--grant-type", string(link.JWTBearer))
	d.until(3)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if d.get(&token, "token", "get", "peer", "--subject", "anna"); token.AccessToken == "" {
		t.Error("no token")
	}
	if out, code := d.cli("link", "update", "peer", "--assertion-scopes", "somewhere"); code != 2 || !strings.Contains(out, "assertion.scopes") {
		t.Errorf("scopes somewhere: exit %d\n%s", code, out)
	}
	if n := peer.Requests()[string(link.JWTBearer)]; n < 3 || n > 6 {
		t.Errorf("requests %v", peer.Requests())
	}
	d.interrupt()
}
