package projections

import (
	"context"

	"outlink/domain"
)

// activityFold keeps every event as it is: the timeline.
type activityFold struct{ records []domain.Record }

func startActivity(_ context.Context, _ Rows, _ int, records []domain.Record) (fold, error) {
	return &activityFold{make([]domain.Record, 0, len(records))}, nil
}

func (f *activityFold) apply(r domain.Record) error {
	if err := decodable(r); err != nil {
		return err
	}
	f.records = append(f.records, r)
	return nil
}

func (f *activityFold) finish(_ context.Context, _ Rows, b *Batch) error {
	b.Activity = f.records
	return nil
}
