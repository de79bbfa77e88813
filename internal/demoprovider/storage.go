package demoprovider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"outlink/domain"
)

// demoUser is who signs in.
const demoUser = "demo-user"

var errUnknown = errors.New("unknown")

// storage implements op.Storage: open sign-ins in memory, refresh tokens (their
// hashes) in a file.
type storage struct {
	Options
	signing *rsa.PrivateKey // parsed from kept

	mu       sync.Mutex
	requests map[string]*authRequest
	codes    map[string]string // code to request
	kept     keptState
}

// keptState is what survives a restart.
type keptState struct {
	CryptoKey  []byte           `json:"crypto_key"`  // seals codes and access tokens
	SigningKey []byte           `json:"signing_key"` // of id tokens, PKCS #1
	Refresh    map[string]grant `json:"refresh"`     // by the token's SHA-256
}

type grant struct {
	Scopes []string  `json:"scopes"`
	AuthAt time.Time `json:"auth_at"`
}

func openStorage(o Options) (*storage, error) {
	s := &storage{Options: o, requests: map[string]*authRequest{}, codes: map[string]string{}, kept: keptState{Refresh: map[string]grant{}}}
	b, err := os.ReadFile(o.StateFile)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = nil
	case err == nil:
		err = json.Unmarshal(b, &s.kept)
	}
	if err == nil {
		err = s.openKeys()
	}
	if err != nil {
		return nil, fmt.Errorf("state file %s: %w", o.StateFile, err)
	}
	return s, nil
}

// openKeys makes the keys that the state does not hold yet.
func (s *storage) openKeys() (err error) {
	if len(s.kept.CryptoKey) == 32 && len(s.kept.SigningKey) > 0 {
		s.signing, err = x509.ParsePKCS1PrivateKey(s.kept.SigningKey)
		return err
	}
	if s.signing, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return err
	}
	s.kept.CryptoKey = make([]byte, 32)
	_, _ = rand.Read(s.kept.CryptoKey) // never fails
	s.kept.SigningKey = x509.MarshalPKCS1PrivateKey(s.signing)
	return s.save()
}

func (s *storage) cryptoKey() (key [32]byte) {
	copy(key[:], s.kept.CryptoKey)
	return key
}

// save writes the state so that the file is the old or the new one, and is on
// disk when save returns.
func (s *storage) save() error {
	b, err := json.Marshal(s.kept)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.StateFile), ".demo-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.StateFile); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.StateFile))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// authRequest is one sign-in.
type authRequest struct {
	ID, Client, RedirectURI, State, Nonce string
	Scopes                                []string
	Challenge                             *oidc.CodeChallenge
	Type                                  oidc.ResponseType
	At                                    time.Time
	Allowed                               bool
}

func (r *authRequest) GetID() string                         { return r.ID }
func (r *authRequest) GetACR() string                        { return "" }
func (r *authRequest) GetAMR() []string                      { return nil }
func (r *authRequest) GetAudience() []string                 { return []string{r.Client} }
func (r *authRequest) GetAuthTime() time.Time                { return r.At }
func (r *authRequest) GetClientID() string                   { return r.Client }
func (r *authRequest) GetCodeChallenge() *oidc.CodeChallenge { return r.Challenge }
func (r *authRequest) GetNonce() string                      { return r.Nonce }
func (r *authRequest) GetRedirectURI() string                { return r.RedirectURI }
func (r *authRequest) GetResponseType() oidc.ResponseType    { return r.Type }
func (r *authRequest) GetResponseMode() oidc.ResponseMode    { return "" }
func (r *authRequest) GetScopes() []string                   { return r.Scopes }
func (r *authRequest) GetState() string                      { return r.State }
func (r *authRequest) GetSubject() string                    { return demoUser }
func (r *authRequest) Done() bool                            { return r.Allowed }
func (r *authRequest) SetCurrentScopes(scopes []string)      { r.Scopes = scopes }

// signInTime is how long a person may take.
const signInTime = 10 * time.Minute

func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if r.ResponseType != oidc.ResponseTypeCode || r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("only code with PKCE S256 is supported")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.requests, func(_ string, r *authRequest) bool { return time.Since(r.At) > signInTime })
	maps.DeleteFunc(s.codes, func(_, id string) bool { return s.requests[id] == nil })
	a := &authRequest{
		ID: uuid.NewString(), Client: r.ClientID, RedirectURI: r.RedirectURI, State: r.State, Nonce: r.Nonce,
		Scopes: r.Scopes, Type: r.ResponseType, At: time.Now(),
		Challenge: &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod},
	}
	s.requests[a.ID] = a
	return a, nil
}

func (s *storage) request(id string) (*authRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.requests[id]
	if !ok {
		return nil, errUnknown
	}
	copied := *r
	return &copied, nil
}

func (s *storage) allow(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.requests[id]; ok {
		r.Allowed = true
	}
}

func (s *storage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	return s.request(id)
}

func (s *storage) AuthRequestByCode(_ context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id := s.codes[code]
	s.mu.Unlock()
	return s.request(id)
}

func (s *storage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *storage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	maps.DeleteFunc(s.codes, func(_, of string) bool { return of == id })
	return nil
}

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (string, time.Time, error) {
	return uuid.NewString(), time.Now().Add(s.AccessTokenLifetime), nil
}

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// CreateAccessAndRefreshTokens keeps the same refresh token for ever; a new one
// is on disk before anybody gets it.
func (s *storage) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	id, expires, err := s.CreateAccessToken(ctx, r)
	if err != nil || current != "" {
		return id, current, expires, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	token := rand.Text() + rand.Text()
	s.kept.Refresh[hash(token)] = grant{Scopes: r.GetScopes(), AuthAt: time.Now()}
	if err := s.save(); err != nil {
		delete(s.kept.Refresh, hash(token))
		return "", "", time.Time{}, err
	}
	return id, token, expires, nil
}

func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.kept.Refresh[hash(token)]
	if !ok {
		return nil, op.ErrInvalidRefreshToken
	}
	return &authRequest{Client: s.ClientID, Scopes: g.Scopes, At: g.AuthAt}, nil
}

func (s *storage) TerminateSession(context.Context, string, string) error { return nil }

func (s *storage) RevokeToken(_ context.Context, token, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.kept.Refresh, hash(token))
	if err := s.save(); err != nil {
		return oidc.ErrServerError().WithParent(err)
	}
	return nil
}

func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.kept.Refresh[hash(token)]; !ok {
		return "", "", op.ErrInvalidRefreshToken
	}
	return demoUser, token, nil
}

// key is the key that signs id tokens.
type key struct{ k *rsa.PrivateKey }

func (k key) ID() string                                  { return "demo" }
func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k key) Key() any                                    { return k.k }

type publicKey struct{ key }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.k.PublicKey }

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return key{s.signing}, nil }
func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publicKey{key{s.signing}}}, nil
}
func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.ClientID {
		return nil, oidc.ErrInvalidClient().WithDescription("there is no such client")
	}
	return client{s.Options}, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != s.ClientID || !s.ClientSecret.Equal(domain.NewSecret(secret)) {
		return oidc.ErrInvalidClient().WithDescription("there is no such client, or it has another secret")
	}
	return nil
}

func (s *storage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}
func (s *storage) SetUserinfoFromToken(_ context.Context, u *oidc.UserInfo, _, subject, _ string) error {
	u.Subject = subject
	return nil
}
func (s *storage) SetIntrospectionFromToken(_ context.Context, r *oidc.IntrospectionResponse, _, _, _ string) error {
	r.Active = true
	return nil
}
func (s *storage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}
func (s *storage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errUnknown
}
func (s *storage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errUnknown
}
func (s *storage) Health(context.Context) error { return nil }

// client is the one client; its redirect URL is any callback on this machine.
type client struct{ o Options }

func (c client) GetID() string                       { return c.o.ClientID }
func (c client) RedirectURIs() []string              { return nil }
func (c client) PostLogoutRedirectURIs() []string    { return nil }
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) LoginURL(id string) string                                    { return "/login?id=" + id }
func (c client) AccessTokenType() op.AccessTokenType                          { return op.AccessTokenTypeBearer }
func (c client) IDTokenLifetime() time.Duration                               { return time.Hour }
func (c client) DevMode() bool                                                { return true }
func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string     { return same } //nolint:revive // op.Client spells it so
func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string { return same }
func (c client) IsScopeAllowed(string) bool                                   { return true }
func (c client) IDTokenUserinfoClaimsAssertion() bool                         { return false }
func (c client) ClockSkew() time.Duration                                     { return 0 }
func (c client) PostLogoutRedirectURIGlobs() []string                         { return nil }
func (c client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}
func (c client) RedirectURIGlobs() []string {
	return []string{"http://localhost:*/oauth/callback/*", "http://127.0.0.1:*/oauth/callback/*"}
}

func same(scopes []string) []string { return scopes }
