package queries_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/internal/queries"
	"outlink/projections"
)

// oneLink is a read model of a link that has neither grants nor, on this page, events.
type oneLink struct {
	projections.Reader
	id uuid.UUID
}

func (oneLink) Positions(context.Context) ([]projections.Position, error) {
	return []projections.Position{{Projection: "links"}, {Projection: "activity"}}, nil
}

func (l oneLink) Link(_ context.Context, id uuid.UUID) (projections.LinkRow, error) {
	if id != l.id {
		return projections.LinkRow{}, domain.Errorf(domain.NotFound, "link %s is not in the read model", id)
	}
	return projections.LinkRow{Link: id}, nil
}

func (oneLink) Links(context.Context, projections.LinkFilter) ([]projections.LinkRow, string, error) {
	return nil, "", nil
}

func (oneLink) Grants(context.Context, projections.GrantFilter) ([]projections.GrantRow, string, error) {
	return nil, "", nil
}

func (oneLink) Activity(context.Context, projections.ActivityFilter) ([]domain.Record, error) {
	return nil, nil
}

// An empty list says that a link has nothing. Of a link that there is not, it
// would be no answer.
func TestListsOfNoLink(t *testing.T) {
	id := uuid.New()
	s := &queries.Service{Read: oneLink{id: id}, Changed: func() <-chan struct{} { return nil }, Now: time.Now}
	for link, want := range map[uuid.UUID]domain.Code{id: "", uuid.New(): domain.NotFound} {
		for _, name := range []string{"ListGrants", "ListEvents"} {
			_, err := s.Run(t.Context(), name, []byte(`{"link_id": "`+link.String()+`"}`))
			if want == "" && err != nil || want != "" && domain.CodeOf(err) != want {
				t.Errorf("%s of %s: %v, want %q", name, link, err, want)
			}
		}
	}
}

// Tokens that end within less than nothing are not asked for.
func TestExpiringWithin(t *testing.T) {
	s := &queries.Service{Read: oneLink{}, Changed: func() <-chan struct{} { return nil }, Now: time.Now}
	for within, good := range map[string]bool{"24h": true, "0s": true, "-5h": false, "soon": false} {
		_, err := s.ListLinks(t.Context(), queries.ListLinks{ExpiringWithin: within})
		if good && err != nil || !good && domain.CodeOf(err) != domain.InvalidArgument {
			t.Errorf("expiring within %s: %v", within, err)
		}
	}
}
