package projections

import (
	"context"

	"outlink/domain"
)

// Stored is a row as its store has it: the document, and the columns that lists
// are found and ordered by.
type Stored[Row, Columns any] struct {
	Row     Row     `json:"row"`
	Columns Columns `json:"columns"`
}

// What the tables hold.
type (
	StoredLink struct {
		Stored[LinkRow, LinkColumns]
		Expiry LinkExpiry `json:"expiry"`
	}
	StoredGrant = Stored[GrantRow, GrantColumns]
)

// AsStored is the row as a store is to have it.
func (r LinkRow) AsStored() StoredLink {
	return StoredLink{Stored[LinkRow, LinkColumns]{r, r.Columns()}, r.Expiry()}
}

// Snapshots shows all rows as they are at one moment.
type Snapshots interface {
	// Snapshot calls read once, beside which projectors go on.
	Snapshot(ctx context.Context, read func(Scanner) error) error
}

// Scanner walks over all rows of a generation, in the order of its choice, and
// ends with the first error of each.
type Scanner interface {
	Position(ctx context.Context, projection string, generation int) (Position, error)
	ScanLinks(ctx context.Context, generation int, each func(StoredLink) error) error
	ScanGrants(ctx context.Context, generation int, each func(StoredGrant) error) error
	ScanActivity(ctx context.Context, generation int, each func(domain.Record) error) error

	// ScanCounts returns the counts of links that are kept.
	ScanCounts(ctx context.Context, generation int) ([]LinkCount, error)
}
