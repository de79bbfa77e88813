package grant

import (
	"github.com/google/uuid"

	"outlink/domain"
)

// RequestToken decides whether the client itself requests the grant's tokens
// from now on. A person's authorization is never replaced by that.
func (s State) RequestToken(id uuid.UUID, e TokenRequested) (Event, error) {
	switch {
	case s.OnHold:
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s is suspended; resume it before requesting a token", id)
	case s.Ended && !s.Shredded:
		return nil, s.beingErased(id)
	case s.Credential != nil && s.GrantType == "":
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s holds a person's authorization; use another subject, or revoke it first", id)
	case s.GrantType == e.GrantType && s.Reauthorize == "" && s.Unreadable == "":
		return nil, nil
	}
	return e, nil
}

// askedFor has a token requested at once, whatever was the matter before.
func (s State) askedFor(e TokenRequested) State {
	if s.Ended { // a revoked grant starts over
		s = State{Generation: s.Generation, Consent: s.Consent, Version: s.Version}
	}
	s.Subject, s.GrantType, s.RequestedAt = e.Subject, e.GrantType, e.At
	s.Reauthorize, s.ProviderCode, s.Unreadable = "", "", ""
	return s
}
