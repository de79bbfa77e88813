package advice_test

import (
	"strings"
	"testing"

	"outlink/domain/advice"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Every trouble that a link or grant can be in has words of its own, and every
// one that needs a person says what that person can do.
func TestEveryReasonHasWords(t *testing.T) {
	for _, r := range []link.Reason{link.ClientRejected, link.ClientDeleted, link.EndpointUnreachable, link.ScopeRejected, link.ConfigError} {
		a := advice.OfLink(link.Fold([]link.Event{link.Created{}, link.Degraded{Reason: r}}))
		if a.Fix == "" || a == advice.OfLink(link.Fold([]link.Event{link.Created{}, link.Degraded{Reason: "unheard of"}})) {
			t.Errorf("%s: %+v", r, a)
		}
	}
	for _, code := range []string{"unsupported_grant_type", "unauthorized_client"} {
		a := advice.OfLink(link.Fold([]link.Event{link.Created{}, link.Degraded{Reason: link.ClientRejected, ProviderCode: code}}))
		if a.Fix == "" || strings.Contains(a.Why+a.Fix, "secret") {
			t.Errorf("%s: %+v", code, a)
		}
	}
	for _, r := range []grant.Reason{
		grant.GrantInvalid, grant.InteractionRequired, grant.NoRefreshToken, grant.LostResponse, grant.RefreshTokenExpired, grant.ClientChanged,
		grant.Stalled, grant.AuthorizationDenied, grant.AuthorizationExpired, grant.ExchangeFailed, grant.AuthorizationVoid,
	} {
		s := grant.State{Version: 1, Reauthorize: r, ProviderCode: "invalid_grant"}
		if a := advice.OfGrant(s); a.Fix == "" || a.Why == "A person is needed: "+string(r)+". It said invalid_grant." {
			t.Errorf("%s: %+v", r, a)
		}
	}
	for _, r := range []grant.DeferReason{
		grant.NotSent, grant.Transient, grant.RateLimited, grant.Ambiguous, grant.LinkTrouble, grant.Unconfirmed, grant.AccessDenied,
	} {
		if a := advice.OfGrant(grant.State{Version: 1, Failures: 1, Deferred: r}); a.Why == " It is tried again by itself." {
			t.Errorf("%s has no words", r)
		}
	}
}
