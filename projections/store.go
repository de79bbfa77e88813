package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// FirstGeneration is the one that a store is created with. A changed shape of
// rows is a new generation, filled by a replay beside the one in use.
const FirstGeneration = 1

// ErrFenced says that another projector has moved the checkpoint meanwhile, so
// that nothing of the batch was stored.
var ErrFenced = errors.New("another projector has advanced this projection")

// Batch is what one transaction stores: rows with all events after From and up
// to To folded in, and To as the new checkpoint.
type Batch struct {
	Projection string
	Generation int
	From, To   uint64
	Links      []LinkRow    // all but their expiries
	Expiries   []LinkExpiry // of these links, and of those that are the same otherwise
	Counts     []LinkCount  // by how many each count changes
	Grants     []GrantRow
	Activity   []domain.Record
}

// failed is why a batch was not stored.
func (b Batch) failed(err error) error {
	return fmt.Errorf("store events %d to %d: %w", b.From+1, b.To, err)
}

// Rows gives the rows of a generation that a fold starts from.
type Rows interface {
	LinkRows(ctx context.Context, generation int, links []uuid.UUID) ([]LinkRow, error)
	GrantRows(ctx context.Context, generation int, grants []uuid.UUID) ([]GrantRow, error)

	// NextExpiries answers for each key, a link, until when the first of its grants
	// is kept, leaving out the grants listed. A link without one is missing from the
	// answer.
	NextExpiries(ctx context.Context, generation int, without map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error)
}

// Store keeps the rows of the projections and how far each has come.
type Store interface {
	Rows

	// Position says how far a generation has come; the error has the code
	// not_found for a generation that does not exist.
	Position(ctx context.Context, projection string, generation int) (Position, error)

	// Apply stores b and moves the checkpoint from b.From to b.To in one
	// transaction, and clears the projection's problem. It returns ErrFenced
	// when the checkpoint is not at b.From.
	Apply(ctx context.Context, b Batch) error

	// Report records p.Problem while the checkpoint is at p.Sequence. It returns
	// ErrFenced when it is not: then somebody got past the problem.
	Report(ctx context.Context, p Position) error
}
