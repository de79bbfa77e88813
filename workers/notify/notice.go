package notify

import (
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Kind says what a notice is about.
type Kind string

// The kinds.
const (
	ReauthorizationRequired Kind = "reauthorization_required" // a person's consent is needed
	ReauthorizationDueSoon  Kind = "reauthorization_due_soon" // it will be, on a day that is known
	TokenStale              Kind = "token_stale"              // the access token ended a quarter of an hour ago, and no new one comes
	RefreshStalled          Kind = "refresh_stalled"          // a grant's refreshes have failed for a day
	AnswerUnreadable        Kind = "answer_unreadable"        // an answer is kept that a person must look at
	ReauthorizationHeld     Kind = "reauthorization_held"     // so many grants are refused at once that no person is asked for
	LinkDegraded            Kind = "link_degraded"            // a link's configuration, or its provider, is in trouble
	LinkRecovered           Kind = "link_recovered"           // it no longer is
)

// Notice is something that a person should know, in words that hold no secret.
type Notice struct {
	ID           uuid.UUID     `json:"id"` // the same for a repeat
	Kind         Kind          `json:"kind"`
	Link         uuid.UUID     `json:"link_id"`
	LinkName     string        `json:"link_name"`
	Grant        uuid.UUID     `json:"grant_id,omitzero"` // absent when the notice is about the link, or about many grants
	Subject      string        `json:"subject,omitempty"`
	Count        int           `json:"count,omitempty"` // of grants, when one notice speaks for many
	Reason       string        `json:"reason,omitempty"`
	ProviderCode string        `json:"provider_code,omitempty"`
	EndsAt       time.Time     `json:"ends_at,omitzero"` // of a consent
	Advice       advice.Advice `json:"advice"`
	At           time.Time     `json:"at"`
	Sequence     uint64        `json:"sequence"` // of the event that it is about
}

// of makes the notice that an event asks for, without names and advice; ok is
// false for events that nobody needs to be told of.
func of(r domain.Record) (n Notice, ok bool, err error) {
	n = Notice{ID: r.ID, Link: r.Link, Grant: r.Grant, At: r.Time, Sequence: r.Sequence}
	if !r.OfGrant() {
		return ofLink(n, r)
	}
	e, err := grant.Kinds.Decode(r.Type, r.Data)
	if err != nil {
		return n, false, err
	}
	switch e := e.(type) {
	case grant.ReauthorizationRequired:
		n.Kind, n.Reason, n.ProviderCode = ReauthorizationRequired, string(e.Reason), e.ProviderCode
	case grant.ReauthorizationDueSoon:
		n.Kind, n.EndsAt = ReauthorizationDueSoon, e.EndsAt
	case grant.RefreshDeferred:
		n.Kind, n.Reason, n.ProviderCode = TokenStale, string(e.Reason), e.ProviderCode
		return n, e.Stale, nil
	case grant.RefreshStalled:
		n.Kind, n.Reason = RefreshStalled, string(e.Last)
	case grant.RefreshUnreadable:
		n.Kind, n.Reason = AnswerUnreadable, e.Problem
	default:
		return n, false, nil
	}
	return n, true, nil
}

func ofLink(n Notice, r domain.Record) (Notice, bool, error) {
	e, err := link.Kinds.Decode(r.Type, r.Data)
	if err != nil {
		return n, false, err
	}
	switch e := e.(type) {
	case link.Degraded:
		n.Kind, n.Reason, n.ProviderCode = LinkDegraded, string(e.Reason), e.ProviderCode
	case link.Recovered:
		n.Kind = LinkRecovered
	default:
		return n, false, nil
	}
	return n, true, nil
}
