package projections

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain/grant"
	"outlink/domain/link"
)

// LinkColumns are what a links table holds beside the document of a row, to find
// and order rows by: all of it follows from the row. Times are of microseconds.
type LinkColumns struct {
	Link      uuid.UUID   `json:"link_id"`
	Sequence  uint64      `json:"sequence"`
	Changed   uint64      `json:"changed"`
	Status    link.Status `json:"status"` // empty while only events of its grants are known
	Provider  string      `json:"provider"`
	Health    Health      `json:"health"`
	Name      []byte      `json:"name_lower"`
	UpdatedAt time.Time   `json:"updated_at"`
}

// LinkExpiry is a row of a table of its own, beside each link's: a renewed token
// mostly moves the next expiry of its link and nothing else of it, and so writes
// this small row and leaves the link's, with its document and its indexes, alone.
// What else is in it is what links are filtered by, as the link's row has it.
type LinkExpiry struct {
	Link       uuid.UUID   `json:"link_id"`
	Status     link.Status `json:"status"`
	Provider   string      `json:"provider"`
	Health     Health      `json:"health"`
	Name       []byte      `json:"name_lower"`
	NextExpiry time.Time   `json:"next_expiry,omitzero"`
}

// Expiry is the row's.
func (r LinkRow) Expiry() LinkExpiry {
	return LinkExpiry{
		Link: r.Link, Status: r.State.Status(), Provider: r.State.Provider, Health: r.Grants.Health(),
		Name: NameKey(r.State.Name), NextExpiry: column(r.NextExpiry),
	}
}

// Document is the row as its document has it.
func (r LinkRow) Document() LinkRow {
	r.NextExpiry = time.Time{} // see LinkExpiry
	return r
}

// Columns are the row's.
func (r LinkRow) Columns() LinkColumns {
	return LinkColumns{
		Link: r.Link, Sequence: r.Sequence, Changed: r.Changed, Status: r.State.Status(), Provider: r.State.Provider,
		Health: r.Grants.Health(), Name: NameKey(r.State.Name), UpdatedAt: column(r.UpdatedAt),
	}
}

// GrantColumns are what a grants table holds beside the document of a row.
type GrantColumns struct {
	Grant     uuid.UUID    `json:"grant_id"`
	Link      uuid.UUID    `json:"link_id"`
	Sequence  uint64       `json:"sequence"`
	Status    grant.Status `json:"status"`
	Subject   []byte       `json:"subject"`
	DueAt     time.Time    `json:"due_at,omitzero"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"`
	KeptUntil time.Time    `json:"kept_until,omitzero"`
	UpdatedAt time.Time    `json:"updated_at"`
}

// Columns are the row's.
func (r GrantRow) Columns() GrantColumns {
	return GrantColumns{
		Grant: r.Grant, Link: r.Link, Sequence: r.Sequence, Status: r.State.Status(), Subject: []byte(r.State.Subject),
		DueAt: column(r.State.DueAt()), ExpiresAt: column(r.ExpiresAt()), KeptUntil: r.KeptUntil(), UpdatedAt: column(r.UpdatedAt),
	}
}

// ExpiresAt is when the grant's access token ends, or zero without one.
func (r GrantRow) ExpiresAt() time.Time {
	if r.State.Credential == nil {
		return time.Time{}
	}
	return r.State.Credential.ExpiresAt
}

// KeptUntil is when the access token ends that Outlink keeps alive, to the
// microsecond, or zero for a grant that is neither healthy nor retrying.
func (r GrantRow) KeptUntil() time.Time {
	if c := r.counts(); c.Healthy+c.Retrying == 0 {
		return time.Time{}
	}
	return column(r.ExpiresAt())
}

// column is a time as every store keeps it.
func column(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// NameKey is a name as it is searched and ordered: in lower case, and as bytes,
// so that no database's collation has a say.
func NameKey(name string) []byte { return []byte(strings.ToLower(name)) }
