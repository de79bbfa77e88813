// Package notice is what people are told that only they can do something about:
// what workers publish, webhooks carry, and clients subscribe to.
package notice

import (
	"time"

	"github.com/google/uuid"

	"outlink/domain/advice"
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
	ProjectionStopped       Kind = "projection_stopped"       // a read model stopped at an event that it cannot fold
	ForeignMessage          Kind = "foreign_message"          // a message in the log of events is none of the nodes'; it is ignored
)

// Notice is something that a person should know, in words that hold no secret.
type Notice struct {
	ID           uuid.UUID     `json:"id"` // the same for a repeat
	Kind         Kind          `json:"kind"`
	Link         uuid.UUID     `json:"link_id"` // zero when it is about no link
	LinkName     string        `json:"link_name"`
	Grant        uuid.UUID     `json:"grant_id,omitzero"` // absent when the notice is about the link, or about many grants
	Subject      string        `json:"subject,omitempty"`
	Projection   string        `json:"projection,omitempty"` // that stopped
	Count        int           `json:"count,omitempty"`      // of grants, when one notice speaks for many
	Reason       string        `json:"reason,omitempty"`
	ProviderCode string        `json:"provider_code,omitempty"`
	EndsAt       time.Time     `json:"ends_at,omitzero"` // of a consent
	Advice       advice.Advice `json:"advice"`
	At           time.Time     `json:"at"`
	Sequence     uint64        `json:"sequence"` // of the event that it is about
}
