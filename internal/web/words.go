package web

import (
	"fmt"
	"time"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
)

// badge is a status that is told by a glyph and a word, never by colour alone.
type badge struct{ Glyph, Word, Tone string }

// linkBadge is a link's status rolled up with its grants: the worst of both.
func linkBadge(row projections.LinkRow) badge {
	switch s := row.State.Status(); s {
	case link.StatusActive:
		return rollUp(row.Grants)
	case link.StatusDegraded:
		return badge{"▲", "degraded: " + words(string(row.State.Trouble), ""), "bad"}
	case link.StatusDisabled:
		return badge{"■", "disabled", "idle"}
	case link.StatusDeleted:
		return badge{"✕", "deleted", "idle"}
	default:
		return badge{"?", string(s), "idle"}
	}
}

func rollUp(g projections.GrantCounts) badge {
	switch {
	case g.Attention > 0:
		return badge{"!", "needs consent", "warn"}
	case g.Retrying > 0:
		return badge{"↻", "retrying", "warn"}
	case g.Healthy > 0:
		return badge{"●", "active", "good"}
	case g.Pending > 0:
		return badge{"○", "authorizing", "idle"}
	case g.Suspended > 0:
		return badge{"■", "suspended", "idle"}
	}
	return badge{"○", "not authorized", "idle"}
}

func grantBadge(s grant.Status) badge {
	switch s {
	case grant.StatusPending:
		return badge{"○", "pending", "idle"}
	case grant.StatusActive:
		return badge{"●", "active", "good"}
	case grant.StatusRefreshing:
		return badge{"↻", "refreshing", "good"}
	case grant.StatusRetrying:
		return badge{"▲", "retrying", "warn"}
	case grant.StatusStale:
		return badge{"▲", "stale", "bad"}
	case grant.StatusUncertain:
		return badge{"?", "uncertain", "warn"}
	case grant.StatusReauthorizationRequired:
		return badge{"!", "needs consent", "bad"}
	case grant.StatusSuspended:
		return badge{"■", "suspended", "idle"}
	case grant.StatusRevoked:
		return badge{"✕", "revoked", "idle"}
	}
	return badge{"?", string(s), "idle"}
}

// moment is a time, and how a person says it.
type moment struct{ Exact, Words string }

func at(now, t time.Time) moment {
	if t.IsZero() {
		return moment{Words: "never"}
	}
	words := ago(now, t)
	if t.After(now) {
		words = "in " + span(t.Sub(now))
	}
	return moment{t.UTC().Format(time.RFC3339), words}
}

func ago(now, t time.Time) string {
	if d := now.Sub(t); d >= time.Second {
		return span(d) + " ago"
	}
	return "just now"
}

// span is a duration to two digits or so: what a person would say.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// lifetime is what is left of an access token, for a bar and its words.
type lifetime struct {
	Known bool
	Left  int // of Of, in seconds
	Of    int
	Low   int // below this the bar warns
	Words string
}

// usualLife is what an access token lives where nobody says.
const usualLife = time.Hour

// ending is the bar of a token of which only the end is known.
func ending(now, end time.Time, usual time.Duration) lifetime {
	if end.IsZero() {
		return lifetime{Words: "no token"}
	}
	if usual <= 0 {
		usual = usualLife
	}
	l := bar(now, end, usual)
	l.Words = "expires in " + span(end.Sub(now))
	if !end.After(now) {
		l.Words = "expired " + ago(now, end)
	}
	return l
}

func bar(now, end time.Time, whole time.Duration) lifetime {
	of := max(1, int(whole.Seconds()))
	return lifetime{Known: true, Left: min(of, max(0, int(end.Sub(now).Seconds()))), Of: of, Low: of / 10}
}

// life is the bar of a grant's access token: when it is renewed, or ends.
func life(now time.Time, g grant.State) lifetime {
	c := g.Credential
	if c == nil {
		return lifetime{Words: "no token"}
	}
	l := bar(now, c.ExpiresAt, c.ExpiresAt.Sub(c.ReceivedAt))
	status := g.StatusAt(now)
	switch {
	case !c.ExpiresAt.After(now):
		l.Words = "expired " + ago(now, c.ExpiresAt)
	case status == grant.StatusRefreshing:
		l.Words = "is being renewed"
	case status == grant.StatusRetrying && g.RetryAt.After(now):
		l.Words = "retries in " + span(g.RetryAt.Sub(now)) + ", expires in " + span(c.ExpiresAt.Sub(now))
	case status == grant.StatusActive && c.Refreshable && c.RefreshAt.After(now):
		l.Words = "renews in " + span(c.RefreshAt.Sub(now))
	case status == grant.StatusActive && c.Refreshable:
		l.Words = "renews now"
	default:
		l.Words = "expires in " + span(c.ExpiresAt.Sub(now))
	}
	return l
}

// advice is why something is as it is, and what fixes it.
type advice struct{ Why, Fix string }

var linkTroubles = map[link.Reason]advice{
	link.ClientRejected:      {"The provider refuses the client: its secret is wrong or has expired.", "Replace the client secret: outlink link replace-secret LINK."},
	link.ClientDeleted:       {"The provider no longer knows this client.", "Register the client again, and update client id and secret."},
	link.EndpointUnreachable: {"The token endpoint cannot be reached.", "Check the endpoint and the network. Outlink keeps trying."},
	link.ScopeRejected:       {"The provider refuses the scopes.", "Correct the scopes here or in the provider's console, then authorize again."},
	link.ConfigError:         {"The provider refuses the request as it is configured.", "Compare endpoints, client authentication and redirect URL with the provider's console."},
}

// linkAdvice says why a link has its status, and what fixes it.
func linkAdvice(s link.State, attention, total int) advice {
	switch s.Status() {
	case link.StatusDeleted:
		return advice{"The link is deleted: its grants are revoked and its keys shredded.", "Configure a new link."}
	case link.StatusDisabled:
		return advice{"An operator took the link out of service: no token is served or renewed.", "Enable it to go on."}
	case link.StatusDegraded:
		if a, ok := linkTroubles[s.Trouble]; ok {
			return a
		}
		return advice{"Refreshing is paused or slowed: " + string(s.Trouble) + ".", "See the timeline."}
	}
	switch {
	case total == 0:
		return advice{"The link is ready, and nobody has authorized it yet.", "Register the redirect URL with the provider, then authorize."}
	case attention == 1:
		return advice{"The link works. One grant needs a person's consent.", "Authorize it again, with the grant's subject."}
	case attention > 1:
		return advice{fmt.Sprintf("The link works. %d grants need a person's consent.", attention), "Authorize each again, with the grant's subject."}
	}
	return advice{Why: "The link works; Outlink keeps its tokens fresh."}
}

var consents = map[grant.Reason]string{
	grant.GrantInvalid:         "the provider ended this grant: authorize it again",
	grant.InteractionRequired:  "the provider wants a person to log in or consent: authorize it again",
	grant.NoRefreshToken:       "the token ended and there is none to renew it: authorize again, with offline access",
	grant.LostResponse:         "the provider's answer was lost and the old refresh token is dead: authorize it again",
	grant.AuthorizationDenied:  "the person or the provider said no: authorize it again",
	grant.AuthorizationExpired: "nobody came back from the provider within ten minutes: authorize it again",
	grant.ExchangeFailed:       "the code could not be exchanged: check the configuration, then authorize again",
	grant.AuthorizationVoid:    "the configuration changed during the authorization: authorize it again",
}

var deferrals = map[grant.DeferReason]string{
	grant.NotSent:      "the last try never left this node; tried again by itself",
	grant.Transient:    "the provider had a passing trouble; tried again by itself",
	grant.RateLimited:  "the provider asked to wait; tried again by itself",
	grant.Ambiguous:    "the last answer did not arrive; tried again by itself",
	grant.LinkTrouble:  "the link is in trouble: see its status",
	grant.Unconfirmed:  "the provider called the grant invalid; it is asked again before anyone is told",
	grant.AccessDenied: "the provider refused; tried again by itself",
}

// grantReason says why a grant is not simply active.
func grantReason(s grant.State) string {
	why := ""
	switch s.Status() {
	case grant.StatusReauthorizationRequired:
		why = or(consents[s.Reauthorize], string(s.Reauthorize))
	case grant.StatusPending:
		why = "waits for the person to come back from the provider"
	case grant.StatusSuspended:
		why = "an operator suspended it"
	case grant.StatusUncertain, grant.StatusRetrying, grant.StatusStale:
		why = or(deferrals[s.Deferred], string(s.Deferred))
		if s.Unreadable != "" {
			why = "the provider's answer could not be read; a person must look at it"
		}
	default:
		return ""
	}
	if s.ProviderCode != "" {
		why += " (" + s.ProviderCode + ")"
	}
	return why
}

func or(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}
