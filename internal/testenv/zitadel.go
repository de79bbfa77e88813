package testenv

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"

	"outlink/domain"
	"outlink/domain/link"
)

// Zitadel runs the example provider of zitadel/oidc: refresh tokens rotate at
// every use, one that is used twice is refused and costs nothing more. Its
// access tokens live 5 minutes.
func Zitadel(t testing.TB) Peer {
	t.Helper()
	return ZitadelWithKey(t, nil)
}

// ZitadelWithKey is the same, with a service user whose assertions the public key
// verifies: "service", by the key "one".
func ZitadelWithKey(t testing.TB, key crypto.PublicKey) Peer {
	t.Helper()
	p := Peer{ClientID: "outlink", ClientSecret: domain.NewSecret("zitadel-client-secret"), AuthStyle: link.Basic}
	counts := &requestCounts{of: map[string]int{}}
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counts.add(r)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.Issuer, p.Requests = server.URL, counts.copy
	p.AuthorizationEndpoint, p.TokenEndpoint, p.RevocationEndpoint = p.Issuer+"/auth", p.Issuer+"/oauth/token", p.Issuer+"/revoke"

	// RegisterClients would write a global that all tests share.
	clients := map[string]*storage.Client{p.ClientID: storage.WebClient(p.ClientID, p.ClientSecret.Reveal())}
	users := storage.NewUserStore("http://localhost") // so that the user is test-user@localhost
	handler = exampleop.SetupServer(p.Issuer, zitadelStorage{storage.NewStorageWithClients(users, clients), key}, nil, false,
		op.WithLogger(slog.New(slog.DiscardHandler)))
	return p
}

// zitadelStorage lets the client have any callback on this machine.
type zitadelStorage struct {
	*storage.Storage
	service crypto.PublicKey
}

func (s zitadelStorage) GetKeyByIDAndClientID(_ context.Context, keyID, clientID string) (*jose.JSONWebKey, error) {
	if s.service == nil || keyID != "one" || clientID != storage.ServiceUserID {
		return nil, errors.New("no such key")
	}
	return &jose.JSONWebKey{KeyID: keyID, Use: "sig", Key: s.service}, nil
}

func (s zitadelStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	c, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return loopbackClient{c}, nil
}

type loopbackClient struct{ op.Client }

func (loopbackClient) RedirectURIGlobs() []string {
	return []string{"http://127.0.0.1:*/oauth/callback/*", "http://localhost:*/oauth/callback/*"}
}
func (loopbackClient) PostLogoutRedirectURIGlobs() []string { return nil }

type requestCounts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *requestCounts) add(r *http.Request) {
	key := strings.Trim(r.URL.Path, "/")
	if grantType := r.PostFormValue("grant_type"); grantType != "" {
		key = grantType
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[key]++
}

func (c *requestCounts) copy() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.of)
}
