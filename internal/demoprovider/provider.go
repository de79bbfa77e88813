// Package demoprovider is the authorization server of `outlink dev`: an OpenID
// Provider on github.com/zitadel/oidc with one client and one demo user.
//
// It is for a developer's machine: it listens on loopback only, signs in whoever
// presses the button, and keeps refresh tokens over a crash and a restart.
// Refresh tokens do not rotate (provider.Stable).
package demoprovider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"outlink/domain"
)

// Options configure the provider. All fields are required.
type Options struct {
	Addr                string // host:port on loopback; port 0 chooses one
	ClientID            string
	ClientSecret        domain.Secret
	AccessTokenLifetime time.Duration
	StateFile           string // where refresh tokens survive a restart
	Log                 *slog.Logger
}

// Provider is a running provider.
type Provider struct {
	url    string
	server *http.Server
	ended  chan struct{}
}

// Start runs the provider until Close.
func Start(ctx context.Context, o Options) (*Provider, error) {
	s, err := openStorage(o)
	if err != nil {
		return nil, err
	}
	listener, err := listen(ctx, o.Addr)
	if err != nil {
		return nil, err
	}
	p := &Provider{url: "http://" + listener.Addr().String(), ended: make(chan struct{})}
	handler, err := s.handler(p.url)
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("configure the provider: %w", err)
	}
	p.server = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(p.ended)
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("the demo provider ended", "error", err)
		}
	}()
	return p, nil
}

// listen refuses addresses that others can reach: anybody may sign in here.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		_ = listener.Close()
		return nil, fmt.Errorf("listen on %s: the demo provider is for this machine only", addr)
	}
	return listener, nil
}

func (s *storage) handler(issuer string) (http.Handler, error) {
	provider, err := op.NewProvider(&op.Config{
		CryptoKey: s.cryptoKey(), CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true,
	}, s, op.StaticIssuer(issuer), op.WithAllowInsecure())
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", s.loginPage)
	mux.Handle("POST /login", op.NewIssuerInterceptor(provider.IssuerFromRequest).HandlerFunc(s.login(op.AuthCallbackURL(provider))))
	mux.Handle("/", provider)
	return mux, nil
}

// Close ends the provider and waits for it.
func (p *Provider) Close() error {
	err := p.server.Close()
	<-p.ended
	return err
}

// URL is the provider's issuer.
func (p *Provider) URL() string { return p.url }

// AuthorizationEndpoint is where a person consents.
func (p *Provider) AuthorizationEndpoint() string { return p.url + "/authorize" }

// TokenEndpoint issues tokens.
func (p *Provider) TokenEndpoint() string { return p.url + "/oauth/token" }

// RevocationEndpoint revokes tokens (RFC 7009).
func (p *Provider) RevocationEndpoint() string { return p.url + "/revoke" }
