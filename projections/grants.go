package projections

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain"
)

// grantsFold folds grants; events of links say nothing to it.
type grantsFold struct{ rows map[uuid.UUID]GrantRow }

func startGrants(ctx context.Context, s Rows, generation int, records []domain.Record) (fold, error) {
	rows, err := s.GrantRows(ctx, generation, keys(records, grantOf))
	if err != nil {
		return nil, err
	}
	f := &grantsFold{rows: map[uuid.UUID]GrantRow{}}
	for _, row := range rows {
		f.rows[row.Grant] = row
	}
	return f, nil
}

func (f *grantsFold) apply(r domain.Record) error {
	if !r.OfGrant() {
		return decodable(r)
	}
	row := f.rows[r.Grant]
	if r.Sequence <= row.Sequence {
		return nil
	}
	state, err := evolveGrant(row.State, r)
	if err != nil {
		return err
	}
	if row.Sequence == 0 {
		row.Link, row.Grant, row.CreatedAt = r.Link, r.Grant, r.Time.UTC()
	}
	row.State, row.Sequence, row.UpdatedAt = state, r.Sequence, r.Time.UTC()
	f.rows[r.Grant] = row
	return nil
}

func (f *grantsFold) finish(_ context.Context, _ Rows, b *Batch) error {
	for _, row := range f.rows {
		if row.Sequence > b.From {
			b.Grants = append(b.Grants, row)
		}
	}
	return nil
}
