package web

import (
	"fmt"
	"strconv"
	"time"

	"outlink/domain/advice"
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
	return lifetime{Known: true, Left: min(of, max(0, int(end.Sub(now).Seconds()))), Of: of}
}

func (l lifetime) low() bool { return l.Left < l.Of/10 }

func (l lifetime) percent() string { return strconv.Itoa(100*l.Left/l.Of) + "%" }

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

// linkAdvice is about a link and, where the link itself is well, about its grants.
func linkAdvice(row projections.LinkRow) advice.Advice {
	switch need := row.Grants.Attention; {
	case row.State.Status() != link.StatusActive:
		return advice.OfLink(row.State)
	case row.Grants.Total == 0:
		return firstAdvice(row.State.Config)
	case need == 1:
		return advice.Advice{Why: "The link works. One grant needs a person's consent.", Fix: "Authorize it again, with the grant's subject."}
	case need > 1:
		return advice.Advice{Why: fmt.Sprintf("The link works. %d grants need a person's consent.", need), Fix: "Authorize each again, with the grant's subject."}
	}
	return advice.OfLink(row.State)
}

// firstAdvice is about a link without grants.
func firstAdvice(c link.Config) advice.Advice {
	if !c.AsksPerson() {
		return advice.Advice{Why: "The link is ready, and has no token yet.", Fix: "Request one: nobody has to consent."}
	}
	a := advice.Advice{Why: "The link is ready, and nobody has authorized it yet.", Fix: "Register the redirect URL with the provider, then authorize."}
	if !c.Uses(link.AuthorizationCode) {
		a.Fix = "Have a person enter a code on another device."
	}
	return a
}

// grantAdvice is about a grant that is not simply active.
func grantAdvice(now time.Time, s grant.State) advice.Advice {
	switch s.StatusAt(now) {
	case grant.StatusActive, grant.StatusRefreshing, grant.StatusRevoked:
		return advice.Advice{}
	}
	return advice.OfGrant(s)
}
