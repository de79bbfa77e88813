package grant

import (
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
)

// Event is something that happened to a grant. Its kind is its name in the log,
// written once and never renamed; being unexported, it also closes the set.
type Event interface{ kind() string }

// Kinds is the set of a grant's events.
var Kinds = domain.NewKinds("grant", Event.kind,
	domain.As[AuthorizationBegun, Event],
	domain.As[AuthorizationConsumed, Event],
	domain.As[AuthorizationFailed, Event],
	domain.As[TokenIssued, Event],
	domain.As[TokenRequested, Event],
	domain.As[FallbackKept, Event],
	domain.As[RefreshRequested, Event],
	domain.As[RefreshStarted, Event],
	domain.As[RefreshDeferred, Event],
	domain.As[RefreshUnreadable, Event],
	domain.As[RefreshStalled, Event],
	domain.As[ReauthorizationDueSoon, Event],
	domain.As[ReauthorizationRequired, Event],
	domain.As[Suspended, Event],
	domain.As[Resumed, Event],
	domain.As[Revoked, Event],
	domain.As[Erased, Event],
)

// StateVersion is the version of [State] as it travels beside each event. Raise
// it when State or Evolve changes: older messages are then folded again.
const StateVersion = 7

// AuthorizationBegun opens an authorization request (RFC 6749 section 4.1). It
// pins what the answer is checked against: an answer for another configuration
// or another authorization server is refused (RFC 9700 section 4.4).
type AuthorizationBegun struct {
	Authorization         uuid.UUID `json:"authorization_id"`
	Subject               string    `json:"subject"`
	ConfigVersion         uint64    `json:"config_version"`
	RedirectURL           string    `json:"redirect_url"`
	AuthorizationEndpoint string    `json:"authorization_endpoint"`
	TokenEndpoint         string    `json:"token_endpoint"`
	Issuer                string    `json:"issuer,omitempty"`
	Device                bool      `json:"device,omitempty"` // the person consents on another device, and the provider is asked whether (RFC 8628)
	ExpiresAt             time.Time `json:"expires_at"`
	At                    time.Time `json:"at"`
}

// AuthorizationConsumed marks the one use of an authorization. It is in the log
// before the code is exchanged, so that a code is sent once.
type AuthorizationConsumed struct {
	Authorization uuid.UUID `json:"authorization_id"`
	At            time.Time `json:"at"`
}

// AuthorizationFailed ends an authorization without a token.
type AuthorizationFailed struct {
	Authorization uuid.UUID `json:"authorization_id"`
	Reason        Reason    `json:"reason"`
	ProviderCode  string    `json:"provider_code,omitempty"` // an OAuth error code, from an allow-list
	At            time.Time `json:"at"`
}

// TokenIssued says that the vault holds a new credential. Exchange names what
// produced it, so that a repeated report is recognised; the tokens themselves
// are in the vault under the grant and Generation.
type TokenIssued struct {
	Exchange              uuid.UUID `json:"exchange_id"` // the authorization, attempt or import
	Subject               string    `json:"subject"`
	Cause                 Cause     `json:"cause"`
	Generation            uint64    `json:"generation"`
	From                  uint64    `json:"from_generation,omitempty"` // of the refresh token that a refresh used
	TokenType             string    `json:"token_type"`
	Scopes                []string  `json:"scopes"`
	ReceivedAt            time.Time `json:"received_at"` // when the request was sent: lifetimes count from here
	ExpiresAt             time.Time `json:"expires_at"`
	ExpiryAssumed         bool      `json:"expiry_assumed,omitempty"` // the answer had no expires_in
	RefreshAt             time.Time `json:"refresh_at,omitzero"`      // when the worker renews it
	Refreshable           bool      `json:"refreshable"`              // it is renewed without a person: by a refresh token, or by the client itself
	Rotated               bool      `json:"rotated,omitempty"`        // the answer brought a new refresh token
	RefreshTokenHash      string    `json:"refresh_token_hash,omitempty"`
	RefreshTokenExpiresAt time.Time `json:"refresh_token_expires_at,omitzero"`
	ConsentEndsAt         time.Time `json:"consent_ends_at,omitzero"` // no refresh moves this end of the refresh token
	ClientID              string    `json:"client_id,omitempty"`      // of the client that it was issued to
	Fallback              bool      `json:"fallback,omitempty"`       // the vault holds one more refresh token, of an overtaken answer
}

// TokenRequested says that the client itself requests the grant's tokens, now and
// whenever one ends: no person consents, and there is no refresh token.
type TokenRequested struct {
	Subject   string         `json:"subject"`
	GrantType link.GrantType `json:"grant_type"`
	At        time.Time      `json:"at"`
}

// FallbackKept says that the vault holds one more refresh token of the current
// credential: the answer of an attempt that another one overtook. It is tried
// when the current one is refused.
type FallbackKept struct {
	Attempt          uuid.UUID `json:"attempt_id"`
	Generation       uint64    `json:"generation"` // of the credential that it stands by
	RefreshTokenHash string    `json:"refresh_token_hash,omitempty"`
	ReceivedAt       time.Time `json:"received_at"` // when its request was sent
	At               time.Time `json:"at"`
}

// RefreshRequested asks for a refresh before it is due.
type RefreshRequested struct {
	Generation uint64    `json:"generation"` // the one the caller saw
	Reason     string    `json:"reason,omitempty"`
	Rejected   bool      `json:"rejected,omitempty"` // a resource server refused the access token
	Resend     bool      `json:"resend,omitempty"`   // the refresh token, although an answer to it is unread
	At         time.Time `json:"at"`
}

// RefreshStarted is the lease and the fence of one refresh: who appends it may
// send the refresh token, once, before half of the lease is over.
type RefreshStarted struct {
	Attempt      uuid.UUID `json:"attempt_id"`
	Generation   uint64    `json:"generation"` // of the refresh token that will be sent
	Node         string    `json:"node"`
	Boot         uuid.UUID `json:"boot_id"`             // of the node's process
	Journal      uuid.UUID `json:"journal_id,omitzero"` // where its answer is kept: who holds it knows whether the attempt is dead
	LeaseSeconds int       `json:"lease_seconds"`
	TakeoverOf   uuid.UUID `json:"takeover_of,omitzero"`
	At           time.Time `json:"at"`
}

// RefreshDeferred ends an attempt that brought no token; the next is at RetryAt.
type RefreshDeferred struct {
	Attempt      uuid.UUID   `json:"attempt_id"`
	Reason       DeferReason `json:"reason"`
	ProviderCode string      `json:"provider_code,omitempty"`
	HTTPStatus   int         `json:"http_status,omitempty"`
	Requests     int         `json:"requests"`          // token requests that this attempt sent
	Unknown      int         `json:"unknown,omitempty"` // of these, requests that nobody knows the outcome of
	Problem      string      `json:"problem,omitempty"` // in Outlink's own words
	Stale        bool        `json:"stale,omitempty"`   // the access token ended a quarter of an hour ago or more
	RetryAt      time.Time   `json:"retry_at"`
	At           time.Time   `json:"at"`
}

// RefreshUnreadable ends an attempt whose answer came complete and could not be
// read. The answer is kept; the old refresh token is not sent again by itself.
type RefreshUnreadable struct {
	Attempt    uuid.UUID `json:"attempt_id"`
	HTTPStatus int       `json:"http_status"`
	Problem    string    `json:"problem"`
	At         time.Time `json:"at"`
}

// RefreshStalled says that a grant's refreshes have failed for a day: from now
// on it is tried every hour.
type RefreshStalled struct {
	Since time.Time   `json:"since"` // of the first failure
	Last  DeferReason `json:"last"`
	At    time.Time   `json:"at"`
}

// ReauthorizationDueSoon warns that a refresh token ends by itself, and that no
// refresh will move its end.
type ReauthorizationDueSoon struct {
	Days   int       `json:"days"` // left, rounded up
	EndsAt time.Time `json:"ends_at"`
	At     time.Time `json:"at"`
}

// ReauthorizationRequired says that only a person's consent brings a new token.
type ReauthorizationRequired struct {
	Attempt      uuid.UUID `json:"attempt_id,omitzero"`
	Reason       Reason    `json:"reason"`
	ProviderCode string    `json:"provider_code,omitempty"`
	At           time.Time `json:"at"`
}

// Suspended takes a grant out of service. Reason is the operator's.
type Suspended struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Resumed puts it back.
type Resumed struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Revoked ends a grant: its token is revoked at the provider, its key shredded.
type Revoked struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Erased says that the grant's key is gone: its secrets cannot be read again.
type Erased struct {
	RevokedAtProvider bool      `json:"revoked_at_provider"`
	Problem           string    `json:"problem,omitempty"` // why the provider did not confirm
	At                time.Time `json:"at"`
}

func (AuthorizationBegun) kind() string      { return "authorization_begun" }
func (AuthorizationConsumed) kind() string   { return "authorization_consumed" }
func (AuthorizationFailed) kind() string     { return "authorization_failed" }
func (TokenIssued) kind() string             { return "token_issued" }
func (TokenRequested) kind() string          { return "token_requested" }
func (RefreshRequested) kind() string        { return "refresh_requested" }
func (RefreshStarted) kind() string          { return "refresh_started" }
func (RefreshDeferred) kind() string         { return "refresh_deferred" }
func (RefreshUnreadable) kind() string       { return "refresh_unreadable" }
func (ReauthorizationRequired) kind() string { return "reauthorization_required" }
func (FallbackKept) kind() string            { return "fallback_kept" }
func (RefreshStalled) kind() string          { return "refresh_stalled" }
func (ReauthorizationDueSoon) kind() string  { return "reauthorization_due_soon" }
func (Suspended) kind() string               { return "suspended" }
func (Resumed) kind() string                 { return "resumed" }
func (Revoked) kind() string                 { return "revoked" }
func (Erased) kind() string                  { return "erased" }
