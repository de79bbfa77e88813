package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Projection is one read model: its name, and how it folds a batch of events.
type Projection struct {
	Name  string
	start func(ctx context.Context, s Rows, generation int, records []domain.Record) (fold, error)
}

// The projections.
var (
	Links    = Projection{Name: "links", start: startLinks} // and their grants, so that both are of one moment
	Activity = Projection{Name: "activity", start: startActivity}
)

// All lists every projection.
func All() []Projection { return []Projection{Links, Activity} }

// A fold takes records one by one, and then says what became of the rows.
type fold interface {
	apply(r domain.Record) error
	finish(ctx context.Context, s Rows, b *Batch) error
}

// PoisonError is an event that a projection cannot fold. It stops there: a read
// model that skipped it would be silently wrong.
type PoisonError struct {
	Projection string
	Sequence   uint64
	Type       string
	Err        error
}

func (e *PoisonError) Error() string {
	return fmt.Sprintf("projection %s stopped before sequence %d (%s): %v", e.Projection, e.Sequence, e.Type, e.Err)
}

func (e *PoisonError) Unwrap() error { return e.Err }

// Fold folds records, in the order of the log, into a batch with one row a key.
// Records at or before the given position have been seen and change nothing. At
// a *PoisonError the batch holds what came before it, and can be stored.
func (p Projection) Fold(ctx context.Context, s Rows, at Position, records []domain.Record) (Batch, error) {
	b := Batch{Projection: p.Name, Generation: at.Generation, From: at.Sequence, To: at.Sequence}
	records = unseen(records, at.Sequence)
	f, err := p.start(ctx, s, at.Generation, records)
	if err != nil {
		return b, fmt.Errorf("load rows of %s: %w", p.Name, err)
	}
	var poison error
	for _, r := range records {
		if isForeign(r) {
			b.To = r.Sequence
			continue
		}
		if err := f.apply(r); err != nil {
			poison = p.poison(r, err)
			break
		}
		b.To = r.Sequence
	}
	if err := f.finish(ctx, s, &b); err != nil {
		return b, fmt.Errorf("finish rows of %s: %w", p.Name, err)
	}
	return b, poison
}

// isForeign reports whether the place of a record is all that counts of it.
func isForeign(r domain.Record) bool { return r.Foreign != "" }

func (p Projection) poison(r domain.Record, err error) error {
	return &PoisonError{Projection: p.Name, Sequence: r.Sequence, Type: r.Type, Err: err}
}

// unseen leaves out what is not later than everything before it.
func unseen(records []domain.Record, after uint64) []domain.Record {
	return without(records, func(r domain.Record) bool {
		if r.Sequence <= after {
			return true
		}
		after = r.Sequence
		return false
	})
}

// without leaves out what drop says, which is asked once about each in its order.
// The given records stay as they are; mostly they are the answer.
func without(records []domain.Record, drop func(domain.Record) bool) []domain.Record {
	first := slices.IndexFunc(records, drop)
	if first < 0 {
		return records
	}
	rest := slices.Clone(records[:first])
	for _, r := range records[first+1:] {
		if !drop(r) {
			rest = append(rest, r)
		}
	}
	return rest
}

// evolveLink folds a record into a link's state.
func evolveLink(s link.State, r domain.Record) (link.State, error) {
	e, err := linkEvent(r)
	if err != nil {
		return s, err
	}
	return link.Evolve(s, e), follows(s.Version, r)
}

// evolveGrant folds a record into a grant's state.
func evolveGrant(s grant.State, r domain.Record) (grant.State, error) {
	e, err := grantEvent(r)
	if err != nil {
		return s, err
	}
	return grant.Evolve(s, e).Shown(), follows(s.Version, r)
}

// follows notices events that never arrived: an aggregate's versions have no
// gaps. A record without a version is not checked.
func follows(version uint64, r domain.Record) error {
	if r.Version == 0 || r.Version == version+1 {
		return nil
	}
	return fmt.Errorf("version %d follows version %d: events are missing", r.Version, version)
}

func linkEvent(r domain.Record) (link.Event, error) {
	if r.Link == uuid.Nil {
		return nil, errors.New("the event belongs to no link")
	}
	if e, ok := r.Decoded.(link.Event); ok {
		return e, nil
	}
	return decodeBy(link.Kinds, r)
}

func grantEvent(r domain.Record) (grant.Event, error) {
	if r.Link == uuid.Nil {
		return nil, errors.New("the event belongs to no link")
	}
	if e, ok := r.Decoded.(grant.Event); ok {
		return e, nil
	}
	return decodeBy(grant.Kinds, r)
}

// decodeBy decodes by the second version of encoding/json, in the ways of the first
// one: a projector spent an eighth of its time here, and this takes half of that.
// The first version has the last word, and the words of a refusal.
func decodeBy[E any](kinds domain.Kinds[E], r domain.Record) (E, error) {
	e, err := kinds.DecodeBy(unmarshal, r.Type, r.Data)
	if err != nil {
		return kinds.Decode(r.Type, r.Data)
	}
	return e, nil
}

var inOldWays = jsonv1.DefaultOptionsV1()

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v, inOldWays) }

// decode decodes the event of a record.
func decode(r domain.Record) (any, error) {
	if r.OfGrant() {
		return grantEvent(r)
	}
	return linkEvent(r)
}

// decodable refuses a record that another projection would stop at, so that all
// of them stop at the same event.
func decodable(r domain.Record) error {
	_, err := decode(r)
	return err
}

// decodeAll gives records their events, but those that cannot be decoded: what to
// do about them, whoever folds them says.
func decodeAll(records []domain.Record) {
	for i := range records {
		if e, err := decode(records[i]); err == nil {
			records[i].Decoded = e
		}
	}
}

// keys lists each id that of gives, once; zero ids are left out.
func keys(records []domain.Record, of func(domain.Record) uuid.UUID) []uuid.UUID {
	seen := map[uuid.UUID]bool{uuid.Nil: true}
	var ids []uuid.UUID
	for _, r := range records {
		if id := of(r); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

func linkOf(r domain.Record) uuid.UUID  { return r.Link }
func grantOf(r domain.Record) uuid.UUID { return r.Grant }
