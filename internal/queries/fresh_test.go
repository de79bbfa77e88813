package queries_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/internal/queries"
	"outlink/projections"
)

// standing is a read model whose projections stand where they are.
type standing struct {
	projections.Reader
	positions []projections.Position
}

func (s standing) Positions(context.Context) ([]projections.Position, error) { return s.positions, nil }

func (standing) Link(context.Context, uuid.UUID) (projections.LinkRow, error) {
	return projections.LinkRow{}, nil
}

// A question waits for the projections that it reads alone, and for the last
// event that those see; one that has stopped answers what it has, and says so.
func TestWhatAQuestionWaitsFor(t *testing.T) {
	at := func(name string, sequence uint64, problem string) projections.Position {
		return projections.Position{Projection: name, Sequence: sequence, Problem: problem}
	}
	for name, tt := range map[string]struct {
		positions []projections.Position
		stale     string
		code      domain.Code
	}{
		"another stopped": {positions: []projections.Position{at("links", 5, ""), at("activity", 2, "poison")}},
		"another lags":    {positions: []projections.Position{at("links", 5, ""), at("activity", 2, "")}},
		"its own stopped": {positions: []projections.Position{at("links", 2, "poison")}, stale: "poison"},
		"stopped beyond":  {positions: []projections.Position{at("links", 5, "poison")}},
		"its own lags":    {positions: []projections.Position{at("links", 2, "")}, code: domain.Unavailable},
		"its own missing": {positions: []projections.Position{at("activity", 5, "")}, code: domain.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := &queries.Service{
				Read: standing{positions: tt.positions}, Last: func(context.Context) (uint64, error) { return 5, nil },
				Changed: func() <-chan struct{} { return nil },
			}
			ctx := t.Context()
			if tt.code != "" { // nobody waits for what does not come
				short, cancel := context.WithCancel(ctx)
				cancel()
				ctx = short
			}
			v, err := s.ShowLink(ctx, queries.ShowLink{Link: uuid.NewString(), Freshness: queries.Freshness{Fresh: true}})
			if domain.CodeOf(err) != tt.code && (tt.code != "" || err != nil) || v.Stale != tt.stale {
				t.Errorf("stale %q, %v; want %q, %s", v.Stale, err, tt.stale, tt.code)
			}
		})
	}
}
