// Package answer says what the answer of a token endpoint means.
//
// It is a pure table (RFC 6749 section 5, and what providers made of it). The
// class of an answer decides whether a token is stored, a request is repeated,
// a link is degraded or a person is asked; putting an answer into the wrong
// class is how systems like this one lose their users' consent.
package answer

import (
	"time"

	"outlink/domain"
)

// Class is what an answer, or the lack of one, means for the grant.
type Class string

// The classes.
const (
	Issued              Class = "issued"               // a token
	NotSent             Class = "not_sent"             // no byte of the request left: dial, DNS, TLS, guard
	Ambiguous           Class = "ambiguous"            // sent, and no complete or no conclusive answer
	Transient           Class = "transient"            // the provider said: later; it has not used the refresh token
	RateLimited         Class = "rate_limited"         // the same, and when
	GrantInvalid        Class = "grant_invalid"        // the refresh token or code is dead or stale
	InteractionRequired Class = "interaction_required" // the resource owner is needed
	AccessDenied        Class = "access_denied"        // refused, with no known meaning
	ClientRejected      Class = "client_rejected"      // link: wrong or expired client secret
	ClientDeleted       Class = "client_deleted"       // link: the provider no longer knows the client
	ScopeRejected       Class = "scope_rejected"       // link: the scopes are refused
	ConfigError         Class = "config_error"         // link: the request as configured is refused
	Unreadable          Class = "unreadable"           // complete and successful, and nobody can read it
)

// OfLink reports whether the class is the link's trouble, so that no grant may
// be marked for reauthorization.
func (c Class) OfLink() bool {
	switch c {
	case ClientRejected, ClientDeleted, ScopeRejected, ConfigError:
		return true
	}
	return false
}

// Answer is the outcome of one token request.
type Answer struct {
	Class      Class
	Token      *Token        // when Issued
	SentAt     time.Time     // when the request began: lifetimes count from here
	HTTPStatus int           // 0 when there was no complete answer
	Code       string        // the OAuth error code when it is a known one, else ""; safe to log
	Problem    string        // what went wrong in Outlink's own words; safe to log
	RetryAfter time.Duration // as the provider asked, 0 if it did not
	Blocked    bool          // not sent, and no retry helps: the endpoint's certificate or address is not acceptable
	Skew       time.Duration // how far the provider's clock is ahead of this node's, by its Date header; 0 when unknown
	Requests   int           // token requests that reached the wire, and that the provider may have acted on
	Unknown    int           // of these, requests whose outcome nobody knows
}

// Raw is a complete answer as it came. Its body holds tokens: seal it before it
// goes anywhere.
type Raw struct {
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
}

// The token types: whoever has it may use it (RFC 6750), or who has the key that
// it is bound to (RFC 9449).
const (
	Bearer        = "Bearer"
	DPoP          = "DPoP"
	NotApplicable = "N_A" // had by exchange, and no access token (RFC 8693 section 2.2.1)
)

// Token is what a token endpoint issued (RFC 6749 section 5.1), normalised.
type Token struct {
	AccessToken          domain.Secret
	RefreshToken         domain.Secret // zero: the answer brought none
	TokenType            string        // [Bearer], [DPoP] or [NotApplicable]
	Lifetime             time.Duration // of the access token; 0: not said
	RefreshTokenLifetime time.Duration // 0: not said
	Scopes               []string      // nil: as requested
}
