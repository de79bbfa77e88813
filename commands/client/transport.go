package client

import (
	"io"
	"net/http"

	"github.com/google/uuid"
)

// HTTPClient is an HTTP client that authorizes its requests with the access
// tokens of a grant: see [Client.RoundTripper].
func (c Client) HTTPClient(link uuid.UUID, subject string) *http.Client {
	return &http.Client{Transport: c.RoundTripper(link, subject, nil)}
}

// RoundTripper sends requests by base (nil: http.DefaultTransport) with a
// grant's access token as bearer token (RFC 6750). When the answer is 401 it
// reports the token as rejected, gets the next one and repeats the request once,
// if its body can be had again: there is none, or there is GetBody. After a
// redirect to another origin no token is sent.
func (c Client) RoundTripper(link uuid.UUID, subject string, base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{newSource(c, link, subject), base}
}

type transport struct {
	source *source
	base   http.RoundTripper
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
	res, err := t.base.RoundTrip(authorized(req, token))
	if err != nil || res.StatusCode != http.StatusUnauthorized {
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
	_, _ = io.CopyN(io.Discard, refused.Body, 64<<10) // so that the connection can be used again
	_ = refused.Body.Close()
	return t.base.RoundTrip(authorized(repeat, newer))
}

// authorized is the request with the token, on a copy: a RoundTripper does not
// change what it is given, and a redirect copies the headers of what it was given.
func authorized(req *http.Request, token Token) *http.Request {
	r := req.Clone(req.Context())
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
	return first.URL.Scheme == req.URL.Scheme && first.URL.Host == req.URL.Host
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
