package microapi

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/micro"

	"outlink/domain"
	"outlink/internal/tokens"
)

// TokenRequest is the body of a request to outlink.token.get.<link>. All of it
// may be left out.
type TokenRequest struct {
	Subject     string `json:"subject,omitempty"`
	MinTTL      string `json:"min_ttl,omitempty"`      // a duration: "30s", which is the default; "0s" takes any token that is valid
	MinSequence uint64 `json:"min_sequence,omitempty"` // of an event that the answer must know of
	Purpose     string `json:"purpose,omitempty"`      // what for, for the audit of reads

	// A proof for one request to a resource server; heeded where the token is bound
	// to a key, whose private part never leaves Outlink.
	DPoP *ProofRequest `json:"dpop,omitempty"`
}

// ProofRequest is the request that a DPoP proof is for (RFC 9449 section 7), in
// the members of the proof. Ask for one right before each request: a proof is
// good for one, and for a short time.
type ProofRequest struct {
	Method string `json:"htm"`             // such as GET
	URL    string `json:"htu"`             // query and fragment are left out of the proof
	Nonce  string `json:"nonce,omitempty"` // the resource server's last DPoP-Nonce header
}

// TokenReply is the answer: an access token, in clear. One of the type DPoP is
// sent as "Authorization: DPoP <token>", with a proof in the header DPoP.
type TokenReply struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresAt   time.Time `json:"expires_at"`
	Scopes      []string  `json:"scopes"`
	Generation  uint64    `json:"generation"`
	DPoPProof   string    `json:"dpop_proof,omitempty"` // for the request that was asked for (RFC 9449)
}

func tokenReply(t tokens.Token) TokenReply {
	return TokenReply{
		AccessToken: t.AccessToken.Reveal(), TokenType: t.TokenType, ExpiresAt: t.ExpiresAt, Scopes: t.Scopes, Generation: t.Generation,
		DPoPProof: t.Proof,
	}
}

// cachedFirst answers from memory where it can, in the caller's goroutine: one of
// its own would cost more than the answer, but not more than a proof.
func (s *server) cachedFirst(otherwise micro.Handler) micro.Handler {
	return micro.HandlerFunc(func(r micro.Request) {
		q, err := s.tokenRequest(r)
		if err == nil && q.Proof == nil && s.Readers.Clear(q.Reader) && replies.MatchString(r.Reply()) {
			if t, ok := s.Tokens.Cached(q); ok {
				s.respond(r, tokenReply(t))
				return
			}
		}
		otherwise.Handle(r)
	})
}

func (s *server) token(ctx context.Context, _ string, r micro.Request) (any, error) {
	q, err := s.tokenRequest(r)
	if err != nil {
		return nil, err
	}
	t, err := s.Tokens.Get(ctx, q)
	if err != nil {
		return nil, err
	}
	return s.Readers.Seal(ctx, q.Reader, tokenReply(t))
}

func (s *server) tokenRequest(r micro.Request) (tokens.Request, error) {
	q := tokens.Request{Reader: caller(r)}
	var err error
	if q.Link, err = uuid.Parse(last(r.Subject())); err != nil {
		return q, domain.Errorf(domain.InvalidArgument, "the subject must end in a link's id")
	}
	if len(r.Data()) == 0 {
		return q, nil
	}
	var body TokenRequest
	if err = domain.Strictly(r.Data(), &body); err != nil {
		return q, domain.Errorf(domain.InvalidArgument, "the token request is not readable: %s", domain.Unreadable(err))
	}
	q.Subject, q.MinSequence, q.Purpose = body.Subject, body.MinSequence, body.Purpose
	if p := body.DPoP; p != nil {
		q.Proof = &tokens.ProofRequest{Method: p.Method, URL: p.URL, Nonce: p.Nonce}
	}
	if q.Asked = body.MinTTL != ""; q.Asked {
		if q.MinTTL, err = time.ParseDuration(body.MinTTL); err != nil {
			return q, domain.Errorf(domain.InvalidArgument, `min_ttl %q is no duration; write it like "30s"`, body.MinTTL)
		}
	}
	return q, nil
}
