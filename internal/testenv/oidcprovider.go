package testenv

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// Peer is an authorization server that is not ours. It takes every redirect URL
// http://127.0.0.1:<port>/oauth/callback/<any>.
type Peer struct {
	Issuer                string
	AuthorizationEndpoint string
	TokenEndpoint         string
	RevocationEndpoint    string
	ClientID              string
	ClientSecret          domain.Secret
	AuthStyle             link.AuthStyle
	Scopes                []string // nil: openid offline_access
	Resources             []string
	DPoPKey               domain.Secret // zero: no proofs are sent

	// Requests counts the requests so far: token requests by their grant type,
	// others by the provider's name for the endpoint.
	Requests func() map[string]int
}

// Registration is the peer's client with a redirect URL below base.
func (p Peer) Registration(base string) provider.Registration {
	scopes := p.Scopes
	if scopes == nil {
		scopes = []string{"openid", "offline_access"}
	}
	return provider.Registration{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, AuthStyle: p.AuthStyle,
		AuthorizationEndpoint: p.AuthorizationEndpoint, TokenEndpoint: p.TokenEndpoint, RevocationEndpoint: p.RevocationEndpoint, Issuer: p.Issuer,
		RedirectURL: strings.TrimSuffix(base, "/") + "/oauth/callback/0199a000-0000-7000-8000-000000000001",
		Scopes:      scopes, Resources: p.Resources, DPoPKey: p.DPoPKey,
	}
}

// OIDCOptions configure [OIDCProvider].
type OIDCOptions struct {
	AccessTokenTTL time.Duration  // whole seconds; 0 means 5 s
	AuthStyle      link.AuthStyle // "" means [link.Basic]
	Secret         domain.Secret  // of the client: a key or certificate; zero: a password

	// Metadata is what the client is registered with beyond that (RFC 7591).
	Metadata map[string]any

	// DPoPNonce has the server demand a nonce of its own in each DPoP proof.
	DPoPNonce bool

	// Certificate and Key of the server, PEM; "" means http.
	Certificate, Key string
}

// methods are the client authentication methods by their registered names.
var methods = map[link.AuthStyle]string{link.Basic: "client_secret_basic", link.Body: "client_secret_post"}

// OIDCProvider runs npm oidc-provider: PKCE is required, refresh tokens rotate
// at every use, and one that is used twice costs the whole grant.
func OIDCProvider(t testing.TB, o OIDCOptions) Peer {
	t.Helper()
	node, dir := nodeJS(t, "oidc-provider")
	p := Peer{ClientID: "outlink", ClientSecret: domain.NewSecret("s/+ %:=&\"" + rand.Text()), AuthStyle: cmp.Or(o.AuthStyle, link.Basic)}
	registered := o.Metadata
	if registered == nil {
		registered = map[string]any{}
	}
	metadata, err := json.Marshal(registered)
	if err != nil {
		t.Fatal(err)
	}
	password := p.ClientSecret.Reveal()
	if !o.Secret.IsZero() {
		p.ClientSecret, password = o.Secret, ""
	}
	cmd := exec.CommandContext(t.Context(), node, "op.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CLIENT_ID="+p.ClientID, "CLIENT_SECRET="+password, "AUTH_METHOD="+cmp.Or(methods[p.AuthStyle], string(p.AuthStyle)),
		"CLIENT_METADATA="+string(metadata), "TLS_CERTIFICATE="+o.Certificate, "TLS_KEY="+o.Key,
		fmt.Sprintf("ACCESS_TOKEN_TTL=%d", int(cmp.Or(o.AccessTokenTTL, 5*time.Second)/time.Second)))
	if o.DPoPNonce {
		cmd.Env = append(cmd.Env, "DPOP_NONCE=required")
	}
	p.Issuer = run(t, cmd)
	p.AuthorizationEndpoint, p.TokenEndpoint, p.RevocationEndpoint = p.Issuer+"/auth", p.Issuer+"/token", p.Issuer+"/token/revocation"
	p.Requests = func() map[string]int {
		trusting := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a count of requests, on this machine
		c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: trusting}}
		res, err := c.Get(p.Issuer + "/requests")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var counts map[string]int
		if err := json.NewDecoder(res.Body).Decode(&counts); err != nil {
			t.Fatal(err)
		}
		return counts
	}
	return p
}

// run starts a program that ends with the test, and gives its first line.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	// The program ends with its standard input, should this process be killed.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Wait() // it writes no more complaints then
		t.Fatalf("%s did not start: %v\n%s", cmd.Path, err, &complaints)
	}
	return strings.TrimSpace(line)
}

// NodeClient is a program in Node that uses Outlink over NATS, ready to run
// with the environment that client.mjs asks for.
func NodeClient(t testing.TB, env ...string) *exec.Cmd {
	t.Helper()
	node, dir := nodeJS(t, "@nats-io/transport-node")
	cmd := exec.CommandContext(t.Context(), node, "client.mjs")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	return cmd
}

// nodeJS finds the program and the folder of the peer, in which a package must
// be installed.
func nodeJS(t testing.TB, uses string) (string, string) {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "peer")
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(uses)))
	}
	if err != nil {
		absent(t, uses, err)
	}
	return node, dir
}
