package oauth

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/provider"
	"outlink/internal/dpop"
)

// useNonce is the refusal of a proof that lacks the server's nonce (RFC 9449
// section 8). It comes before anybody looks at the grant: nothing was used up,
// so that it counts as no request, and the same one may be sent again.
const useNonce = "use_dpop_nonce"

// bind has the request carry proofs by the registration's key, if it has one.
func (c *Client) bind(e *exchange, r provider.Registration) {
	if !r.DPoPKey.IsZero() {
		e.key, e.bound, e.nonces = dpop.NewKey(r.DPoPKey), true, &c.nonces
		e.reprove = func() (url.Values, error) {
			p, err := c.prove(r, time.Now())
			return p.params, err
		}
	}
}

// renewed has the client prove itself anew for one more request.
func (e *exchange) renewed() bool {
	params, err := e.reprove()
	maps.Copy(e.params, params)
	return err == nil
}

// proven adds the proof of one request.
func (e *exchange) proven(req *http.Request) error {
	if e.key == nil {
		return nil
	}
	proof, err := e.key.Proof(dpop.Request{Method: req.Method, URL: req.URL.String(), Nonce: e.nonces.Get(req.URL)}, time.Now())
	if err != nil {
		return err
	}
	req.Header.Set("DPoP", proof)
	return nil
}

// remember keeps the nonce for the next request, which any answer may bring.
func (e *exchange) remember(res *http.Response) {
	if e.key != nil {
		e.nonces.Put(res.Request.URL, res.Header.Get("DPoP-Nonce"))
	}
}

// wantsNonce reports whether the request is to be sent once more, with the nonce
// that came.
func (e *exchange) wantsNonce(res *http.Response, raw []byte) bool {
	return e.key != nil && res.StatusCode/100 == 4 && res.Header.Get("DPoP-Nonce") != "" && str(object(raw, "")["error"]) == useNonce
}

// acted reports whether the provider may have acted on the request.
func (e *exchange) acted() bool {
	return e.wrote.Load() && e.refused == nil && (e.key == nil || e.code() != useNonce)
}

// refusal says what a refusal is about, where that is known better than by status
// and code.
func (e *exchange) refusal() string {
	if e.key == nil && (e.code() == useNonce || e.code() == "invalid_dpop_proof") {
		return "the provider binds tokens to a key: set dpop_bound_access_tokens on the link (RFC 9449)"
	}
	return fmt.Sprintf("the token endpoint answered with status %d", e.status)
}

// tokenType is how the token is to be used, or "" when that is not known. What is
// bound to a key can be used only if that is Outlink's own.
func (e *exchange) tokenType(said string) string {
	switch {
	case said == "" || e.profile.Response.Bearer(said):
		return answer.Bearer
	case strings.EqualFold(said, answer.NotApplicable):
		return answer.NotApplicable
	case e.bound && strings.EqualFold(said, answer.DPoP):
		return answer.DPoP
	}
	return ""
}

// thumbprint is the parameter that binds an authorization code to the key too
// (RFC 9449 section 10), or "".
func thumbprint(key domain.Secret) string {
	if key.IsZero() {
		return ""
	}
	return dpop.NewKey(key).Thumbprint()
}
