package link

import "cmp"

// Place is where the scopes of a request with an assertion are.
type Place string

// The places.
const (
	InRequest   Place = "request"   // a parameter beside the assertion; the default
	InAssertion Place = "assertion" // the claim scope (Google)
	Nowhere     Place = "none"      // they are fixed at the provider, which refuses the parameter (Salesforce)
)

// Places lists the places.
func Places() []Place { return []Place{InRequest, InAssertion, Nowhere} }

// Assertion is what the client says in the assertions with which it requests
// tokens (RFC 7523 section 3). They are signed by the link's client secret, which
// is a key then. Whatever is left out has its default.
type Assertion struct {
	Issuer    string `json:"issuer,omitempty" yaml:"issuer"`         // iss; default: the client id
	Subject   string `json:"subject,omitempty" yaml:"subject"`       // sub, of all grants; default: each grant's own subject, and the issuer for the subject "default"
	Audience  string `json:"audience,omitempty" yaml:"audience"`     // aud; default: the link's issuer, or else its token endpoint
	NoSubject bool   `json:"no_subject,omitempty" yaml:"no_subject"` // there is no sub for the subject "default": the client acts for itself
	Scopes    Place  `json:"scopes,omitempty" yaml:"scopes"`         // where they are said
	Alone     bool   `json:"alone,omitempty" yaml:"alone"`           // no client authentication goes with it: the assertion proves the client too
}

// Over is what a link says, with a provider's habits where it says nothing.
func (a Assertion) Over(habits Assertion) Assertion {
	return Assertion{
		Issuer: cmp.Or(a.Issuer, habits.Issuer), Subject: cmp.Or(a.Subject, habits.Subject), Audience: cmp.Or(a.Audience, habits.Audience),
		NoSubject: a.NoSubject || habits.NoSubject, Scopes: cmp.Or(a.Scopes, habits.Scopes), Alone: a.Alone || habits.Alone,
	}
}
