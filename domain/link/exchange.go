package link

import (
	"cmp"

	"github.com/google/uuid"
)

// AccessTokenType is the type of the tokens that a link has to give in exchange
// (RFC 8693 section 3).
const AccessTokenType = "urn:ietf:params:oauth:token-type:access_token"

// Exchange says what the link's tokens are had for (RFC 8693 section 2.1): the
// access token of a grant of another link, which is renewed as ever.
type Exchange struct {
	Link               uuid.UUID `json:"subject_link_id,omitzero" yaml:"-"`                          // the other link
	Subject            string    `json:"subject,omitempty" yaml:"-"`                                 // of its grant, for all grants of this one; default: each grant's own subject
	SubjectTokenType   string    `json:"subject_token_type,omitempty" yaml:"subject_token_type"`     // default: an access token
	RequestedTokenType string    `json:"requested_token_type,omitempty" yaml:"requested_token_type"` // default: not said
	Audience           string    `json:"audience,omitempty" yaml:"audience"`                         // of the token that is wanted; see also resources
}

// Over is what a link says, with a provider's habits where it says nothing.
func (x Exchange) Over(habits Exchange) Exchange {
	x.SubjectTokenType = cmp.Or(x.SubjectTokenType, habits.SubjectTokenType)
	x.RequestedTokenType = cmp.Or(x.RequestedTokenType, habits.RequestedTokenType)
	x.Audience = cmp.Or(x.Audience, habits.Audience)
	return x
}

// Of is whose token is exchanged for a grant of that subject.
func (x Exchange) Of(subject string) string { return cmp.Or(x.Subject, subject) }
