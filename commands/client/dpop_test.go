package client_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/commands/client/outlinktest"
	"outlink/domain"
)

// bound is a resource server that takes tokens with proofs only (RFC 9449 section
// 7), and a nonce of its own in them.
type bound struct {
	t        *testing.T
	url      string
	mu       sync.Mutex
	nonce    string
	refused  map[string]bool // Authorization headers
	used     map[string]bool // proofs
	taken    []string        // bodies of the requests that were taken
	requests int
}

func newBound(t *testing.T) *bound {
	r := &bound{t: t, nonce: "first", refused: map[string]bool{}, used: map[string]bool{}}
	r.url = listen(t, r)
	return r
}

func (b *bound) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	authorization := r.Header.Get("Authorization")
	got := b.proof(r)
	sum := sha256.Sum256([]byte(strings.TrimPrefix(authorization, "DPoP ")))
	want := fmt.Sprint(r.Method, " ", "http://", r.Host, r.URL.Path, " ", base64.RawURLEncoding.EncodeToString(sum[:]))
	switch {
	case fmt.Sprint(got["htm"], " ", got["htu"], " ", got["ath"]) != want || b.used[r.Header.Get("DPoP")]:
		b.t.Errorf("the proof is for %v, want %s", got, want)
	case got["nonce"] != b.nonce:
		w.Header().Set("DPoP-Nonce", b.nonce)
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce", error_description="a nonce is needed"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	case b.refused[authorization]:
		w.Header().Set("WWW-Authenticate", `DPoP error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	case r.URL.Path == "/moved":
		http.Redirect(w, r, "/here?x=y", http.StatusTemporaryRedirect)
		return
	}
	b.used[r.Header.Get("DPoP")] = true
	b.taken = append(b.taken, string(body))
}

func (b *bound) proof(r *http.Request) (claims map[string]any) {
	signed, err := jwt.ParseSigned(r.Header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	if err == nil {
		err = signed.Claims(signed.Headers[0].JSONWebKey, &claims)
	}
	if err != nil {
		b.t.Errorf("no proof: %v", err)
	}
	return claims
}

// boundLink has a grant whose tokens are bound to its key.
func boundLink(t *testing.T, o *outlinktest.Outlink) uuid.UUID {
	t.Helper()
	issuer := listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token":"%s","token_type":"DPoP","expires_in":3600,"refresh_token":"%s"}`, rand.Text(), rand.Text())
	}))
	d := o.Draft("bound")
	d.TokenEndpoint, d.RevocationEndpoint, d.DPoP = issuer, "", true
	out, err := o.Client().CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{Draft: d, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("s")}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.Client().RecordTokenIssued(t.Context(), commands.RecordTokenIssued{Link: out.Link, RefreshToken: domain.SecretInput{Clear: domain.NewSecret("rt")}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Link
}

// Each request has a proof of its own, for its method, its URL without query, the
// token and the server's nonce, which is asked for once.
func TestBoundToken(t *testing.T) {
	idle(t)
	o, r := outlinktest.Start(t), newBound(t)
	h := o.Client().HTTPClient(boundLink(t, o), "")
	for i, body := range []string{"one", "two", "three"} {
		if i == 2 {
			r.mu.Lock()
			r.nonce = "second"
			r.mu.Unlock()
		}
		res, err := h.Post(r.url+"/x?secret=1", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	res, err := h.Get(r.url + "/moved") // the proof is for each hop
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if got := strings.Join(r.taken, " "); got != "one two three " || r.requests != 3+2+2 {
		t.Errorf("taken %q in %d requests", got, r.requests)
	}
}

// A refused token is replaced with its nonce known; a body that is gone is not sent
// twice, and the next request has the nonce.
func TestBoundTokenRefused(t *testing.T) {
	idle(t)
	o, r := outlinktest.Start(t), newBound(t)
	id := boundLink(t, o)
	h := o.Client().HTTPClient(id, "")
	post := func(body io.Reader, want int) {
		t.Helper()
		res, err := h.Post(r.url, "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("status %d, want %d", res.StatusCode, want)
		}
	}
	first, err := o.Client().Token(t.Context(), id, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	post(io.MultiReader(strings.NewReader("gone")), http.StatusUnauthorized)
	if second, err := o.Client().Token(t.Context(), id, "", 0); err != nil || second.Generation != first.Generation {
		t.Errorf("%v; a nonce that is missing cost a refresh", err)
	}
	r.mu.Lock()
	r.refused["DPoP "+first.AccessToken] = true
	r.mu.Unlock()
	post(strings.NewReader("again"), http.StatusOK)
	if got := strings.Join(r.taken, " "); got != "again" {
		t.Errorf("taken %q", got)
	}
}

// A key cannot be had, only proofs; what no proof is for is refused.
func TestProofsThatAreNone(t *testing.T) {
	o := outlinktest.Start(t)
	id, plain := boundLink(t, o), o.Link(t, "plain")
	for _, p := range []client.Proof{
		{}, {Method: "GET"}, {URL: "https://api.example"}, {Method: "GET", URL: "/me"}, {Method: "GET", URL: "ftp://api.example"},
		{Method: "GET", URL: "https://anna:secret@api.example"}, {Method: "GET POST", URL: "https://api.example"},
		{Method: "GET", URL: "https://api.example", Nonce: "a b"}, {Method: "GET", URL: "https://api.example", Nonce: strings.Repeat("n", 1001)},
	} {
		_, err := o.Client().BoundToken(t.Context(), id, "", p)
		if domain.CodeOf(err) != domain.InvalidArgument || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", p, err)
		}
	}
	token, err := o.Client().BoundToken(t.Context(), plain, "", client.Proof{Method: "GET", URL: "https://api.example"})
	if err != nil || token.DPoPProof != "" || token.TokenType != "Bearer" || time.Until(token.ExpiresAt) < time.Minute {
		t.Errorf("a bearer token: %v, %v", token.TokenType, err)
	}
	_, err = o.Client().RecordTokenIssued(t.Context(), commands.RecordTokenIssued{Link: id, TokenType: "dpop", RefreshToken: domain.SecretInput{Clear: domain.NewSecret("rt")}})
	if domain.CodeOf(err) != domain.InvalidArgument {
		t.Errorf("a token that is bound elsewhere is imported: %v", err)
	}
}
