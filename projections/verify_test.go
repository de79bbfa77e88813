package projections_test

import (
	"context"
	"errors"
	"testing"

	"outlink/domain"
	"outlink/projections"
)

// rewound is a store whose checkpoint is set back between two looks at it.
type rewound struct {
	projections.Scanner
	at uint64
}

func (r *rewound) Position(context.Context, string, int) (projections.Position, error) {
	r.at--
	return projections.Position{Generation: projections.FirstGeneration, Sequence: r.at}, nil
}

func (r *rewound) Snapshot(_ context.Context, read func(projections.Scanner) error) error {
	return read(r)
}

// TestVerifyRewound: a generation that is set back under a verification is not
// compared with what it had seen before.
func TestVerifyRewound(t *testing.T) {
	l := threeLinks()
	for _, p := range projections.All() {
		v := projections.Verification{Projection: p, Feed: l, Store: &rewound{at: l.Last() + 1}, Differs: func(projections.Difference) {}}
		_, err := v.Run(t.Context(), projections.FirstGeneration, 1)
		var refused *domain.Error
		if !errors.As(err, &refused) || refused.Code != domain.Conflict {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}
