package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain/link"
	"outlink/internal/testenv"
)

// The whole flow through the real binary against npm oidc-provider: PKCE, tokens
// of five seconds, and a refresh token that costs the grant when it is used
// twice. Ten renewals in a row, nobody intervening.
func TestOIDCProvider(t *testing.T) {
	t.Parallel()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: 5 * time.Second})
	d := startDev(t, t.TempDir(), "--no-seed")
	d.authorize(peer, "--issuer", peer.Issuer)
	d.until(11)
	requests := peer.Requests()
	if requests["refresh_token"] < 10 || requests["refresh_token"] > 11 || requests["authorization_code"] != 1 {
		t.Errorf("requests %v, want one for the code and one for each renewal", requests)
	}
	d.tokenOf(11)
	d.interrupt()
}

// The same against the example provider of zitadel/oidc, whose tokens live five
// minutes: an operator asks for the renewals. It sends no iss (RFC 9207).
func TestZitadel(t *testing.T) {
	t.Parallel()
	peer := testenv.Zitadel(t)
	d := startDev(t, t.TempDir(), "--no-seed")
	d.authorize(peer)
	var grants []grantLine
	d.get(&grants, "grant", "ls", "peer")
	for generation := uint64(2); generation <= 4; generation++ {
		if out, code := d.cli("grant", "refresh", grants[0].Grant); code != 0 {
			t.Fatalf("grant refresh: exit %d\n%s", code, out)
		}
		d.until(generation)
	}
	if requests := peer.Requests(); requests["refresh_token"] != 3 {
		t.Errorf("requests %v, want three renewals", requests)
	}
	d.tokenOf(4)
	d.interrupt()
}

// The authorization request goes to the provider itself (RFC 9126), which takes
// no other here.
func TestPushedAuthorizationRequest(t *testing.T) {
	t.Parallel()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: 5 * time.Second, Metadata: map[string]any{"require_pushed_authorization_requests": true}})
	d := startDev(t, t.TempDir(), "--no-seed")
	d.authorize(peer, "--issuer", peer.Issuer, "--push-endpoint", peer.Issuer+"/request")
	d.until(2)
	if n := peer.Requests()["pushed_authorization_request"]; n != 1 {
		t.Errorf("requests %v, want one pushed", peer.Requests())
	}
	d.interrupt()
}

// A link without a person through the real binary: its client proves itself with
// a key, and gets tokens of five seconds for one resource, again and again. The
// node is started anew in between.
func TestClientCredentials(t *testing.T) {
	t.Parallel()
	key, registered := testenv.ClientKey(t, "PS256")
	registered["grant_types"], registered["redirect_uris"], registered["response_types"] = []string{"client_credentials"}, []string{}, []string{}
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: 5 * time.Second, AuthStyle: link.PrivateKeyJWT, Secret: key, Metadata: registered})
	secret, dir := filepath.Join(t.TempDir(), "key.json"), t.TempDir()
	if err := os.WriteFile(secret, []byte(key.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, dir, "--no-seed")
	d.get(&struct{}{}, "link", "create", "--name", "peer", "--client-id", peer.ClientID, "--client-secret-file", secret, "--auth-style", "private_key_jwt",
		"--grant-type", "client_credentials", "--token-endpoint", peer.TokenEndpoint, "--issuer", peer.Issuer, "--scopes", "read", "--resource", "https://api.example/v1")
	if out, code := d.cli("grant", "authorize", "peer"); code != 4 {
		t.Errorf("an authorization that the link does not use: exit %d\n%s", code, out)
	}
	d.get(&struct{}{}, "grant", "request", "peer")
	d.until(2)
	d.interrupt()
	d = startDev(t, dir, "--no-seed")
	d.until(4)
	d.tokenOf(4)
	d.interrupt()
}

// A person consents on another device, while the node that waits for it is
// started anew. Neither of the codes is in an event.
func TestDevice(t *testing.T) {
	t.Parallel()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{AccessTokenTTL: 5 * time.Second, Metadata: map[string]any{
		"grant_types": []string{string(link.DeviceCode), "refresh_token"}, "redirect_uris": []string{}, "response_types": []string{},
	}})
	secret, dir := filepath.Join(t.TempDir(), "secret"), t.TempDir()
	if err := os.WriteFile(secret, []byte(peer.ClientSecret.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, dir, "--no-seed")
	d.get(&struct{}{}, "link", "create", "--name", "peer", "--client-id", peer.ClientID, "--client-secret-file", secret, "--auth-style", "basic",
		"--grant-type", string(link.DeviceCode), "--token-endpoint", peer.TokenEndpoint, "--device-endpoint", peer.Issuer+"/device/auth",
		"--issuer", peer.Issuer, "--scopes", "openid offline_access")
	var begun commands.Outcome
	d.get(&begun, "grant", "authorize", "peer", "--device")
	if begun.Device == nil || begun.Device.UserCode == "" || begun.Device.VerificationURI != peer.Issuer+"/device" {
		t.Fatalf("the command line shows %+v", begun.Device)
	}
	for deadline := time.Now().Add(30 * time.Second); peer.Requests()[string(link.DeviceCode)] == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the provider was never asked")
		}
	}
	d.interrupt()
	d = startDev(t, dir, "--no-seed")
	page, err := testenv.NewBrowser().Authorize(t.Context(), begun.Device.VerificationURIComplete)
	if err != nil || page.Status != http.StatusOK || page.Forms < 3 {
		t.Fatalf("the consent ended with %v, status %d after %d forms:\n%s", err, page.Status, page.Forms, page.Body)
	}
	d.until(3)
	d.tokenOf(3)
	requests := peer.Requests()
	if n := requests[string(link.DeviceCode)]; n < 2 || n > 8 || requests["refresh_token"] < 2 {
		t.Errorf("requests %v", requests)
	}
	shown := d.deviceCode(begun.Link, http.StatusOK)
	if !strings.Contains(shown, `href="`+peer.Issuer+`/device?user_code=`) {
		t.Errorf("the page shows no code:\n%s", shown)
	}
	if out, code := d.cli("events", "export"); code != 0 || !strings.Contains(out, "authorization_begun") || strings.Contains(out, begun.Device.UserCode) {
		t.Errorf("exit %d; the events hold the user's code:\n%s", code, out)
	}
	// A provider that gives none: whoever waits for it is told so at once.
	d.get(&struct{}{}, "link", "update", "peer", "--device-endpoint", peer.Issuer+"/nowhere")
	if out, code := d.cli("grant", "authorize", "peer", "--device"); code != 4 || !strings.Contains(out, "outlink grant explain "+begun.Grant.String()) {
		t.Errorf("exit %d: %s", code, out)
	}
	d.deviceCode(begun.Link, http.StatusPreconditionFailed)
	d.interrupt()
}

// authorize makes a link "peer" by the command line and consents in a browser.
func (d *dev) authorize(p testenv.Peer, flags ...string) {
	d.t.Helper()
	secret := filepath.Join(d.t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(p.ClientSecret.Reveal()), 0o600); err != nil {
		d.t.Fatal(err)
	}
	var begun struct {
		URL string `json:"authorization_url"`
	}
	create := []string{"link", "create", "--name", "peer", "--provider", "custom", "--client-id", p.ClientID,
		"--scopes", "openid offline_access", "--auth-style", string(p.AuthStyle),
		"--authorization-endpoint", p.AuthorizationEndpoint, "--token-endpoint", p.TokenEndpoint}
	if p.AuthStyle != link.None {
		create = append(create, "--client-secret-file", secret)
	}
	d.get(&struct{}{}, append(create, flags...)...)
	d.get(&begun, "grant", "authorize", "peer")
	page, err := testenv.NewBrowser().Authorize(d.t.Context(), begun.URL)
	if err != nil || page.Status != http.StatusOK || page.Forms == 0 || !strings.Contains(page.URL, "/oauth/callback/") {
		d.t.Fatalf("the consent ended with %v, status %d after %d forms:\n%s", err, page.Status, page.Forms, page.Body)
	}
}

// until follows the link's events to the token of a generation, and prints them.
func (d *dev) until(generation uint64) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 90*time.Second)
	defer cancel()
	c := binaryContext(ctx, "events", "tail", "--link", "peer", "--after", "0", "--server", d.at.NATS)
	out, err := c.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	defer func() { cancel(); _ = c.Wait() }()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e struct {
			Type string
			Data struct{ Generation uint64 }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			d.t.Fatalf("%v: %s", err, lines.Text())
		}
		d.t.Log(lines.Text())
		if strings.HasPrefix(e.Type, "outlink.grant.token_issued") && e.Data.Generation == generation {
			return
		}
	}
	d.t.Fatalf("no token of generation %d:\n%s", generation, d.err.String())
}

// tokenOf asks for a token that is at least of a generation.
func (d *dev) tokenOf(generation uint64) {
	d.t.Helper()
	var token struct {
		AccessToken string `json:"access_token"`
		Generation  uint64
	}
	if d.get(&token, "token", "get", "peer"); token.AccessToken == "" || token.Generation < generation {
		d.t.Errorf("a token of generation %d, given: %t", token.Generation, token.AccessToken != "")
	}
}

// deviceCode is the page of a link's code for another device.
func (d *dev) deviceCode(link uuid.UUID, status int) string {
	d.t.Helper()
	res, err := http.PostForm(d.at.HTTP+"/links/"+link.String()+"/device", url.Values{"subject": {"page"}})
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		d.t.Errorf("status %d, want %d: %v", res.StatusCode, status, err)
	}
	return string(page)
}
