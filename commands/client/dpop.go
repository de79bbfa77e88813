package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// Proof is the request that a DPoP proof is for, in the members of the proof (RFC
// 9449 section 4.2).
type Proof struct {
	Method string `json:"htm"`
	URL    string `json:"htu"`             // query and fragment are left out of the proof
	Nonce  string `json:"nonce,omitempty"` // the resource server's last DPoP-Nonce header
}

// BoundToken fetches an access token together with the proof for one request to a
// resource server, which goes into its header DPoP, right before that request.
// The key stays with Outlink. A bearer token comes without a proof. Most callers
// want [Client.HTTPClient], which does it for each request.
func (c Client) BoundToken(ctx context.Context, link uuid.UUID, subject string, p Proof) (Token, error) {
	return c.token(ctx, link, tokenRequest{Subject: subject, DPoP: &p}, 0)
}

// bound reports whether the token is of no use without proofs.
func (t Token) bound() bool { return strings.EqualFold(t.TokenType, "DPoP") }

// nonces remembers what resource servers want in the next proof (RFC 9449 section 9).
type nonces struct {
	mu   sync.Mutex
	last map[string]string // by origin
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func (n *nonces) of(u *url.URL) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[origin(u)]
}

// heard keeps what an answer brings.
func (n *nonces) heard(u *url.URL, res *http.Response) {
	nonce := res.Header.Get("DPoP-Nonce")
	if nonce == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[string]string{}
	}
	n.last[origin(u)] = nonce
}

// wantsNonce reports whether an answer is about the proof's nonce, not about the
// token (RFC 9449 section 9).
func wantsNonce(res *http.Response) bool {
	return res.StatusCode == http.StatusUnauthorized && res.Header.Get("DPoP-Nonce") != "" &&
		strings.Contains(strings.Join(res.Header.Values("WWW-Authenticate"), " "), "use_dpop_nonce")
}
