package queries

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/grant"
	"outlink/projections"
)

// ExplainGrant asks why a grant is in its state.
type ExplainGrant struct {
	Freshness
	Grant uuid.UUID `json:"grant_id"`
}

// GrantExplanation says why a grant is as it is, what was tried, what happens
// next and when, and what a person can do.
type GrantExplanation struct {
	GrantView
	Advice     advice.Advice  `json:"advice"`
	LinkStatus string         `json:"link_status"`
	LinkAdvice *advice.Advice `json:"link_advice,omitempty"` // when the link is in trouble
	Next       Next           `json:"next"`
	Fallback   bool           `json:"fallback,omitempty"` // one more refresh token is kept, of an answer that came late
	Tries      []grant.Try    `json:"tries"`              // the last ones, oldest first
}

// Next is what Outlink does by itself.
type Next struct {
	What string     `json:"what"`
	At   *time.Time `json:"at,omitempty"` // absent: never
}

// explained is how many of a grant's last events are looked at.
const explained = 200

// ExplainGrant runs the query.
func (s *Service) ExplainGrant(ctx context.Context, q ExplainGrant) (GrantExplanation, error) {
	if err := domain.Given("grant_id", q.Grant); err != nil {
		return GrantExplanation{}, err
	}
	stale, err := s.Wait(ctx, q.Freshness, projections.Links.Name, projections.Activity.Name)
	if err != nil {
		return GrantExplanation{}, err
	}
	row, err := s.Read.Grant(ctx, q.Grant)
	if err != nil {
		return GrantExplanation{}, err
	}
	l, err := s.Read.Link(ctx, row.Link)
	if err != nil {
		return GrantExplanation{}, err
	}
	tries, err := s.tries(ctx, row)
	if err != nil {
		return GrantExplanation{}, err
	}
	e := GrantExplanation{
		GrantView: viewGrant(row, s.Now()), Advice: advice.OfGrant(row.State), LinkStatus: string(l.State.Status()),
		Next: next(row.State, s.Now()), Fallback: row.State.Fallback, Tries: tries,
	}
	e.Staleness = stale
	if a := advice.OfLink(l.State); a.Fix != "" {
		e.LinkAdvice = &a
	}
	return e, nil
}

func (s *Service) tries(ctx context.Context, row projections.GrantRow) ([]grant.Try, error) {
	records, err := s.Read.Activity(ctx, projections.ActivityFilter{Link: row.Link, Grant: row.Grant, Limit: explained})
	if err != nil {
		return nil, err
	}
	slices.Reverse(records)
	history := make([]grant.Past, 0, len(records))
	for _, r := range records {
		e, err := grant.Kinds.Decode(r.Type, r.Data)
		if err != nil {
			return nil, err
		}
		history = append(history, grant.Past{Sequence: r.Sequence, At: r.Time, Event: e})
	}
	return grant.Tries(history), nil
}

// next says what happens when the grant is due.
func next(s grant.State, now time.Time) Next {
	due := s.DueAt()
	n := Next{At: optional(due), What: "renew its token"}
	switch {
	case due.IsZero():
		n.What = "nothing, until a person does something"
	case s.Authorization != nil && due.Equal(s.Authorization.ExpiresAt):
		n.What = "end the authorization that nobody completed"
	case s.Authorization != nil && s.Authorization.Device && due.Equal(s.Authorization.At):
		n.What, n.At = "ask the provider whether the person has consented on the other device", nil
	case s.Attempt != nil && s.Attempt.At.After(now.Add(-time.Minute)):
		n.What = "wait for the answer; take over if none comes"
	case s.Attempt != nil:
		n.What = "take over from node " + s.Attempt.Node + " if nothing comes of its attempt"
	case s.Unconfirmed > 0:
		n.What = "ask the provider once more whether the grant is dead"
	case s.Failures > 0:
		n.What = "try again"
	case s.Credential != nil && !s.Credential.Refreshable:
		n.What = "ask for a person's consent, for there is no refresh token"
	case s.Credential != nil && due.Before(s.Credential.RefreshAt) && s.RequestedAt.IsZero():
		n.What = "tell that the consent ends soon"
	}
	return n
}
