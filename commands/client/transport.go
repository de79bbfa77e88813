package client

import (
	"cmp"
	"io"
	"net/http"
	"net/url"

	"github.com/google/uuid"
)

// HTTPClient is an HTTP client that authorizes its requests with the access
// tokens of a grant: see [Client.RoundTripper].
func (c Client) HTTPClient(link uuid.UUID, subject string) *http.Client {
	return &http.Client{Transport: c.RoundTripper(link, subject, nil)}
}

// RoundTripper sends requests by base (nil: http.DefaultTransport) with a
// grant's access token: as bearer token (RFC 6750), or with a proof for each
// request where it is bound to a key (RFC 9449), which Outlink makes. When the
// answer is 401 it reports the token as rejected, gets the next one and repeats
// the request once, if its body can be had again: there is none, or there is
// GetBody. A server that wants its nonce in the proof gets it in one more try.
// After a redirect to another origin no token is sent.
func (c Client) RoundTripper(link uuid.UUID, subject string, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{source: newSource(c, link, subject), base: base}
}

type transport struct {
	source *source
	base   http.RoundTripper
	nonces nonces
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !atHome(req) {
		return t.base.RoundTrip(req)
	}
	token, err := t.source.token(req.Context())
	if err != nil {
		closeBody(req) // a RoundTripper closes it, even on errors
		return nil, err
	}
	res, err := t.send(req, &token)
	if err != nil || res.StatusCode != http.StatusUnauthorized || token.bound() && wantsNonce(res) {
		return res, err
	}
	return t.again(req, res, token)
}

// again answers a 401 with a second try, or with the 401 where there can be none.
func (t *transport) again(req *http.Request, refused *http.Response, token Token) (*http.Response, error) {
	newer, ok := t.source.replace(req.Context(), token)
	if !ok {
		return refused, nil
	}
	repeat, ok := replayed(req)
	if !ok {
		return refused, nil
	}
	discard(refused)
	return t.send(repeat, &newer)
}

// send sends a request with the token, and once more where the server wants a
// nonce in the proof. A newer token that came with a proof takes its place.
func (t *transport) send(req *http.Request, token *Token) (*http.Response, error) {
	res, err := t.sendOnce(req, token)
	if err != nil || !token.bound() || !wantsNonce(res) {
		return res, err
	}
	repeat, ok := replayed(req)
	if !ok {
		return res, nil
	}
	discard(res)
	return t.sendOnce(repeat, token)
}

func (t *transport) sendOnce(req *http.Request, token *Token) (*http.Response, error) {
	if token.bound() {
		var err error
		if *token, err = t.source.proven(req.Context(), Proof{Method: cmp.Or(req.Method, http.MethodGet), URL: target(req), Nonce: t.nonces.of(req.URL)}); err != nil {
			closeBody(req)
			return nil, err
		}
	}
	res, err := t.base.RoundTrip(authorized(req, *token))
	if err == nil && token.bound() {
		t.nonces.heard(req.URL, res)
	}
	return res, err
}

// target is what a proof is for. What a query holds is nobody's but the server's.
func target(req *http.Request) string {
	u := url.URL{Scheme: req.URL.Scheme, Host: cmp.Or(req.Host, req.URL.Host), Path: cmp.Or(req.URL.Path, "/"), RawPath: req.URL.RawPath}
	return u.String()
}

// discard ends an answer so that the connection can be used again.
func discard(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	_ = res.Body.Close()
}

// authorized is the request with the token, on a copy: a RoundTripper does not
// change what it is given, and a redirect copies the headers of what it was given.
func authorized(req *http.Request, token Token) *http.Request {
	r := req.Clone(req.Context())
	if token.DPoPProof != "" {
		r.Header.Set("Authorization", "DPoP "+token.AccessToken)
		r.Header.Set("DPoP", token.DPoPProof)
		return r
	}
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return r
}

func replayed(req *http.Request) (*http.Request, bool) {
	r := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return r, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, false
	}
	r.Body = body
	return r, true
}

// atHome reports whether a request goes to the origin that the first one of its
// chain of redirects went to.
func atHome(req *http.Request) bool {
	first := req
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	return origin(first.URL) == origin(req.URL)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
