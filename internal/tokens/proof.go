package tokens

import (
	"net/url"
	"strings"
	"time"

	"outlink/domain"
	"outlink/internal/dpop"
)

// ProofRequest is the request to a resource server that a proof is asked for (RFC
// 9449 section 7).
type ProofRequest struct {
	Method string
	URL    string
	Nonce  string // the resource server's last; "": it has sent none
}

// The longest values that are taken, in bytes.
const (
	maxMethod = 40
	maxURL    = 8000
	maxNonce  = 1000
)

func (p *ProofRequest) check() error {
	if p == nil {
		return nil
	}
	u, err := url.Parse(p.URL)
	switch {
	case p.Method == "" || len(p.Method) > maxMethod || strings.ContainsFunc(p.Method, notToken):
		return domain.Errorf(domain.InvalidArgument, "dpop.htm is no HTTP method; give one such as GET")
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(p.URL) > maxURL:
		return domain.Errorf(domain.InvalidArgument, "dpop.htu is no URL of a request; give one such as https://api.example.com/me")
	case len(p.Nonce) > maxNonce || strings.ContainsFunc(p.Nonce, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }):
		return domain.Errorf(domain.InvalidArgument, "dpop.nonce is no nonce (RFC 9449 section 8.1); give the DPoP-Nonce header of the resource server's last answer as it is")
	}
	return nil
}

// notToken finds what a method does not have (RFC 9110 section 5.6.2).
func notToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// proven adds the proof that goes with the token, if it is bound to a key: the
// key stays here.
func (t Token) proven(p *ProofRequest, now time.Time) (Token, error) {
	if p == nil || t.key == nil {
		return t, nil
	}
	var err error
	t.Proof, err = t.key.Proof(dpop.Request{Method: p.Method, URL: p.URL, Nonce: p.Nonce, Token: t.AccessToken}, now)
	return t, err
}
