package queries

import (
	"context"
	"slices"
	"time"

	"outlink/domain"
	"outlink/projections"
)

// Freshness says which read model is new enough.
type Freshness struct {
	MinSequence uint64 `json:"min_sequence,omitempty"` // of a command's outcome: the answer knows of it
	Fresh       bool   `json:"fresh,omitempty"`        // the answer knows of all that the log has now
}

// Staleness says that an answer is older than what was asked for.
type Staleness struct {
	Stale string `json:"stale,omitempty"` // why: a projection has stopped; absent: the answer is as new as asked for
}

func (s Staleness) link(row projections.LinkRow) LinkView {
	v := ViewLink(row)
	v.Staleness = s
	return v
}

// MaxWait bounds how long a question waits for the read model to catch up.
const MaxWait = 5 * time.Second

// Wait waits until the projections that a query reads have seen what is asked
// for. One that has stopped is not waited for: an old answer that says so is of
// more use than none.
func (s *Service) Wait(ctx context.Context, f Freshness, names ...string) (Staleness, error) {
	want := f.MinSequence
	if f.Fresh {
		last, err := s.Last(ctx)
		if err != nil {
			return Staleness{}, err
		}
		want = max(want, last)
	}
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	for {
		changed := s.Changed()
		positions, err := s.Read.Positions(ctx)
		if err != nil {
			return Staleness{}, err
		}
		if stale, reached := reached(positions, names, want); reached {
			return stale, nil
		}
		select {
		case <-changed:
		case <-time.After(200 * time.Millisecond): // another node may be the one that projects
		case <-ctx.Done():
			return Staleness{}, domain.Errorf(domain.Unavailable, "the read model has not reached sequence %d yet; try again", want)
		}
	}
}

// reached reports whether all the named projections have seen a sequence, or
// will not because they have stopped.
func reached(positions []projections.Position, names []string, want uint64) (stale Staleness, all bool) {
	for _, name := range names {
		i := slices.IndexFunc(positions, func(p projections.Position) bool { return p.Projection == name })
		switch {
		case i < 0:
			return stale, false
		case positions[i].Sequence >= want:
		case positions[i].Problem != "":
			stale.Stale = positions[i].Problem
		default:
			return stale, false
		}
	}
	return stale, true
}
