// Package projections builds the read models of Outlink: the links list, the
// grants and the activity timeline, each a second fold of the log.
//
// It never decides and never writes to the log. A read model is disposable: it
// can be dropped and replayed, and its rows say which event they have seen
// last. The stores are adapters below: projections/sqlite and
// projections/cockroach, held to one suite.
package projections

import (
	"context"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// LinkRow is a row of the links list: the link, and its grants rolled up.
type LinkRow struct {
	Link       uuid.UUID   `json:"link_id"`
	Sequence   uint64      `json:"sequence"` // of the last event of the link itself, or that changed the counts
	Changed    uint64      `json:"changed"`  // of the last event of the link itself, or that changed its health
	State      link.State  `json:"state"`
	UpdatedAt  time.Time   `json:"updated_at"` // of the event with Sequence
	Grants     GrantCounts `json:"grants"`
	NextExpiry time.Time   `json:"next_expiry,omitzero"` // the earliest access token end of the healthy and retrying grants, to the microsecond
}

// GrantCounts are a link's grants by what they need.
type GrantCounts struct {
	Total     int `json:"total"`     // all but revoked ones
	Healthy   int `json:"healthy"`   // active or refreshing
	Retrying  int `json:"retrying"`  // retrying or uncertain: nobody has to act yet
	Attention int `json:"attention"` // reauthorization required: a person has to act
	Pending   int `json:"pending"`   // authorization begun
	Suspended int `json:"suspended"`
}

// Health is a link's grants in one word: the worst of them.
type Health string

// The healths.
const (
	HealthNone      Health = "none"      // no grants, or pending and suspended ones alone
	HealthHealthy   Health = "healthy"   // all that are not pending or suspended
	HealthRetrying  Health = "retrying"  // some are being retried: nobody has to act yet
	HealthAttention Health = "attention" // a person has to act
)

// Health is the worst that the counts tell of.
func (c GrantCounts) Health() Health {
	switch {
	case c.Attention > 0:
		return HealthAttention
	case c.Retrying > 0:
		return HealthRetrying
	case c.Healthy > 0:
		return HealthHealthy
	}
	return HealthNone
}

// LinkCount is how many links are alike, and some of their grants' counts.
type LinkCount struct {
	Provider string      `json:"provider"`
	Status   link.Status `json:"status"`
	Health   Health      `json:"health"`
	Links    int64       `json:"links"`

	Healthy   int64 `json:"healthy"`   // of their grants
	Retrying  int64 `json:"retrying"`  // of their grants
	Attention int64 `json:"attention"` // of their grants
}

// GrantRow is a row of the grants.
type GrantRow struct {
	Link      uuid.UUID   `json:"link_id"`
	Grant     uuid.UUID   `json:"grant_id"`
	Sequence  uint64      `json:"sequence"`
	State     grant.State `json:"state"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
}

// How long a page is: unless more is asked for, and at most.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// LinkFilter selects links: newest change first (see LinkRow.Changed: a renewed
// token is none), or by name where Text or Name is given, so that every page is a
// range of an index. Zero fields do not filter.
type LinkFilter struct {
	Provider string
	Status   link.Status // deleted links are listed only when asked for
	Text     string      // prefix of the name, in any case of letters
	Name     string      // the whole name, in any case of letters
	Health   Health
	Expiring time.Time // only links whose next access token ends before this; earliest first
	After    string    // cursor of a former page
	Limit    int       // up to MaxPage; 0 means DefaultPage
}

// GrantFilter selects grants of one link, by subject. Zero fields do not filter.
type GrantFilter struct {
	Link   uuid.UUID    // required
	Status grant.Status // retrying lists stale grants too; stale lists those alone
	After  string
	Limit  int // up to MaxPage; 0 means DefaultPage
}

// ActivityFilter selects the timeline, newest first. Zero fields do not filter.
type ActivityFilter struct {
	Link   uuid.UUID // required
	Grant  uuid.UUID
	Before uint64 // only events with a lower sequence
	Limit  int    // up to MaxPage; 0 means DefaultPage
}

// Position is how far a projection has read the log.
type Position struct {
	Projection string    `json:"projection"`
	Generation int       `json:"generation"`
	Sequence   uint64    `json:"sequence"`
	UpdatedAt  time.Time `json:"updated_at"`
	Problem    string    `json:"problem,omitempty"` // why it stopped; empty while it runs
}

// DueFilter chooses grants that are due. Before may differ from page to page.
type DueFilter struct {
	Before time.Time
	After  string // a page's next
	Limit  int    // 1 to 10,000; 0 means DefaultPage
}

// Reader is what dashboards and queries ask of a store. Every method returns a
// *domain.Error with code not_found or invalid_argument where that is the case.
type Reader interface {
	Links(ctx context.Context, f LinkFilter) (rows []LinkRow, next string, err error)
	Link(ctx context.Context, id uuid.UUID) (LinkRow, error)

	// LinkCounts counts all links but deleted ones, from a small table that the
	// projection keeps.
	LinkCounts(ctx context.Context) ([]LinkCount, error)
	Grants(ctx context.Context, f GrantFilter) (rows []GrantRow, next string, err error)
	Grant(ctx context.Context, id uuid.UUID) (GrantRow, error)
	Activity(ctx context.Context, f ActivityFilter) ([]domain.Record, error)

	// Due lists grants whose DueAt is before a time, earliest first: the sweep's
	// safety net for timers that were lost.
	Due(ctx context.Context, f DueFilter) (rows []GrantRow, next string, err error)

	// Positions lists the active generation of every projection.
	Positions(ctx context.Context) ([]Position, error)
}
