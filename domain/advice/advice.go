// Package advice says in a person's words why a link or a grant is as it is, and
// what that person can do. Pages, the command line and notices all say the same.
package advice

import (
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Advice is why something is as it is, and what fixes it; Fix is empty when
// nobody has to do anything.
type Advice struct {
	Why string `json:"why"`
	Fix string `json:"fix,omitempty"`
}

var links = map[link.Reason]Advice{
	link.ClientRejected:      {"The provider refuses the client: its secret is wrong or has expired.", "Replace the client secret: outlink link replace-secret LINK."},
	link.ClientDeleted:       {"The provider no longer knows this client.", "Register the client again, and update client id and secret."},
	link.EndpointUnreachable: {"The token endpoint cannot be reached.", "Check the endpoint and the network. Outlink keeps trying."},
	link.ScopeRejected:       {"The provider refuses the scopes.", "Correct the scopes here or in the provider's console, then authorize again."},
	link.ConfigError:         {"The provider refuses the request as it is configured.", "Compare endpoints, client authentication and redirect URL with the provider's console."},
}

// codes say more than the reason that they stand for.
var codes = map[string]Advice{
	"unauthorized_client":    {"The provider does not let this client have tokens in this way.", wayFix},
	"unsupported_grant_type": {"The provider gives no tokens in this way.", wayFix},
}

const wayFix = "Allow the grant type for the client in the provider's console, or change the link's grant types."

// OfLink is about a link's own state, without its grants.
func OfLink(s link.State) Advice {
	switch s.Status() {
	case link.StatusDeleted:
		return Advice{"The link is deleted: its grants are revoked and its keys shredded.", "Configure a new link."}
	case link.StatusDisabled:
		return Advice{"An operator took the link out of service: no token is served or renewed.", "Enable it to go on."}
	case link.StatusDegraded:
		if a, ok := codes[s.TroubleCode]; ok {
			return a
		}
		if a, ok := links[s.Trouble]; ok {
			return a
		}
		return Advice{"Refreshing is paused or slowed: " + string(s.Trouble) + ".", "See the timeline."}
	}
	return Advice{Why: "The link works; Outlink keeps its tokens fresh."}
}

const again = "Authorize it again: outlink grant authorize LINK, with the grant's subject."

var consents = map[grant.Reason]Advice{
	grant.GrantInvalid:         {"The provider ended this grant.", again},
	grant.InteractionRequired:  {"The provider wants a person to log in or consent.", again},
	grant.NoRefreshToken:       {"The token ended and there is none to renew it.", "Authorize it again, with offline access."},
	grant.LostResponse:         {"An answer of the provider was lost on its way, and the old refresh token is dead.", again},
	grant.RefreshTokenExpired:  {"The refresh token has reached the end that the provider gave it.", again},
	grant.ClientChanged:        {"The grant belongs to a client that the link had before.", again},
	grant.Stalled:              {"The provider was asked for a week and gave no token.", "See whether it works at all, then authorize it again."},
	grant.AuthorizationDenied:  {"The person or the provider said no.", again},
	grant.AuthorizationExpired: {"Nobody came back from the provider within ten minutes.", again},
	grant.ExchangeFailed:       {"The code could not be exchanged.", "Check the configuration, then authorize it again."},
	grant.AuthorizationVoid:    {"The configuration changed during the authorization.", again},
}

var deferrals = map[grant.DeferReason]string{
	grant.NotSent:         "The last try never left its node.",
	grant.Transient:       "The provider had a passing trouble.",
	grant.RateLimited:     "The provider asked to wait.",
	grant.Ambiguous:       "The provider's last answer did not arrive.",
	grant.WaitsForSubject: "The grant whose token it exchanges has none now: see that one.",
	grant.LinkTrouble:     "The link is in trouble: see its status.",
	grant.Unconfirmed:     "The provider called the grant invalid; it is asked once more before anybody is told.",
	grant.AccessDenied:    "The provider refused, without a reason that is known to be final.",
}

// OfGrant is about a grant's own state, without its link.
func OfGrant(s grant.State) Advice {
	a := ofGrant(s)
	if s.ProviderCode != "" && a.Why != "" {
		a.Why += " It said " + s.ProviderCode + "."
	}
	return a
}

func ofGrant(s grant.State) Advice {
	switch s.Status() {
	case grant.StatusAbsent:
		return Advice{"There is no such grant.", again}
	case grant.StatusPending:
		if s.GrantType != "" {
			return Advice{Why: "Its first token is being requested."}
		}
		return Advice{Why: "It waits for the person to come back from the provider."}
	case grant.StatusActive:
		return Advice{Why: "It has a token, and it is renewed in time."}
	case grant.StatusRefreshing:
		return Advice{Why: "A node is renewing its token."}
	case grant.StatusSuspended:
		return Advice{"An operator suspended it.", "Resume it: outlink grant resume GRANT."}
	case grant.StatusRevoked:
		return Advice{"It is revoked, and its key is shredded.", again}
	case grant.StatusReauthorizationRequired:
		if a, ok := consents[s.Reauthorize]; ok {
			return a
		}
		return Advice{"A person is needed: " + string(s.Reauthorize) + ".", again}
	}
	if s.Unreadable != "" {
		return Advice{"An answer of the provider could not be read: " + s.Unreadable + ". It is kept; the old refresh token is not sent again.", "Have it read by a newer version, which tries when it starts, or authorize it again."}
	}
	return Advice{Why: deferrals[s.Deferred] + " It is tried again by itself."}
}
