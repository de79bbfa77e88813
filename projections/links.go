package projections

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// linksFold folds links and their grants, and rolls the grants up. Counts move by
// deltas: the difference between what a grant was and what it is now.
type linksFold struct {
	links, linksBefore   map[uuid.UUID]LinkRow
	grants, grantsBefore map[uuid.UUID]GrantRow
}

func newLinksFold() *linksFold {
	return &linksFold{links: map[uuid.UUID]LinkRow{}, grants: map[uuid.UUID]GrantRow{}}
}

func startLinks(ctx context.Context, s Rows, generation int, records []domain.Record) (fold, error) {
	links, err := s.LinkRows(ctx, generation, keys(records, linkOf))
	if err != nil {
		return nil, err
	}
	grants, err := s.GrantRows(ctx, generation, keys(records, grantOf))
	if err != nil {
		return nil, err
	}
	f := newLinksFold()
	for _, row := range links {
		f.links[row.Link] = row
	}
	for _, row := range grants {
		f.grants[row.Grant] = row
	}
	f.linksBefore, f.grantsBefore = maps.Clone(f.links), maps.Clone(f.grants)
	return f, nil
}

func (f *linksFold) apply(r domain.Record) error {
	if r.OfGrant() {
		return f.applyGrant(r)
	}
	row := f.links[r.Link]
	if r.Sequence <= row.Sequence {
		return nil
	}
	state, err := evolveLink(row.State, r)
	if err != nil {
		return err
	}
	row.State, row.Changed = state, r.Sequence
	f.putLink(row, r)
	return nil
}

// applyGrant changes the link's row only if what it shows of its grants changes:
// of each renewal's two events, the first does not.
func (f *linksFold) applyGrant(r domain.Record) error {
	before := f.grants[r.Grant]
	if r.Sequence <= before.Sequence {
		return nil
	}
	state, err := evolveGrant(before.State, r)
	if err != nil {
		return err
	}
	after := before
	if before.Sequence == 0 {
		after.Link, after.Grant, after.CreatedAt = r.Link, r.Grant, r.Time.UTC()
	}
	after.State, after.Sequence, after.UpdatedAt = state, r.Sequence, r.Time.UTC()
	f.grants[r.Grant] = after
	was, is := before.counts(), after.counts()
	if was == is && before.KeptUntil().Equal(after.KeptUntil()) {
		return nil
	}
	row := f.links[r.Link]
	health := row.Grants.Health()
	row.Grants = row.Grants.plus(was, -1).plus(is, +1)
	if row.Grants.Health() != health {
		row.Changed = r.Sequence
	}
	f.putLink(row, r)
	return nil
}

func (f *linksFold) putLink(row LinkRow, r domain.Record) {
	row.Link, row.Sequence, row.UpdatedAt = r.Link, r.Sequence, r.Time.UTC()
	f.links[r.Link] = row
}

func (f *linksFold) finish(ctx context.Context, s Rows, b *Batch) error {
	if err := f.expiries(ctx, s, b.Generation, b.From); err != nil {
		return err
	}
	b.Grants, b.Links = make([]GrantRow, 0, len(f.grants)), make([]LinkRow, 0, len(f.links)) // large rows, that growing would move
	for _, row := range f.grants {
		if row.Sequence > b.From {
			b.Grants = append(b.Grants, row)
		}
	}
	for _, row := range f.links {
		if row.Sequence > b.From {
			b.Links = append(b.Links, row)
		}
	}
	b.Counts = f.countChanges(b.From)
	return nil
}

// expiries gives the links that changed after a sequence their next expiry.
func (f *linksFold) expiries(ctx context.Context, s Rows, generation int, from uint64) error {
	touched := map[uuid.UUID][]uuid.UUID{} // link to its grants that changed
	for id, row := range f.grants {
		if row.Sequence > from && f.links[row.Link].Sequence > from {
			touched[row.Link] = append(touched[row.Link], id)
		}
	}
	others, err := f.othersExpiries(ctx, s, generation, touched)
	if err != nil {
		return err
	}
	for id, grants := range touched {
		row := f.links[id]
		row.NextExpiry = others[id]
		for _, g := range grants {
			row.NextExpiry = earliest(row.NextExpiry, f.grants[g].KeptUntil())
		}
		f.links[id] = row
	}
	return nil
}

// countChanges is by how many the counts of links change.
func (f *linksFold) countChanges(from uint64) []LinkCount {
	changes := counting{}
	for id, row := range f.links {
		if row.Sequence > from {
			changes.add(f.linksBefore[id], -1)
			changes.add(row, +1)
		}
	}
	return changes.list()
}

// othersExpiries is, for each link, the next expiry of the grants that the batch
// has not touched. It asks the store only about links whose earliest grant was
// touched and that have others: mostly none.
func (f *linksFold) othersExpiries(ctx context.Context, s Rows, generation int, touched map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	known, ask := map[uuid.UUID]time.Time{}, map[uuid.UUID][]uuid.UUID{}
	for id, grants := range touched {
		row := f.linksBefore[id]
		had, wasEarliest := 0, false
		for _, g := range grants {
			before := f.grantsBefore[g]
			had += before.counts().Total
			wasEarliest = wasEarliest || before.KeptUntil().Equal(row.NextExpiry)
		}
		switch {
		case row.NextExpiry.IsZero():
		case !wasEarliest:
			known[id] = row.NextExpiry
		case had < row.Grants.Total:
			ask[id] = grants
		}
	}
	if len(ask) == 0 {
		return known, nil
	}
	asked, err := s.NextExpiries(ctx, generation, ask)
	maps.Copy(known, asked)
	return known, err
}

// counts is what the grant contributes to its link.
func (r GrantRow) counts() GrantCounts {
	c := GrantCounts{Total: 1}
	switch r.State.Status() {
	case grant.StatusActive, grant.StatusRefreshing:
		c.Healthy = 1
	case grant.StatusRetrying, grant.StatusUncertain:
		c.Retrying = 1
	case grant.StatusReauthorizationRequired:
		c.Attention = 1
	case grant.StatusPending:
		c.Pending = 1
	case grant.StatusSuspended:
		c.Suspended = 1
	default: // absent or revoked
		c.Total = 0
	}
	return c
}

func (c GrantCounts) plus(d GrantCounts, times int) GrantCounts {
	return GrantCounts{
		Total:     c.Total + times*d.Total,
		Healthy:   c.Healthy + times*d.Healthy,
		Retrying:  c.Retrying + times*d.Retrying,
		Attention: c.Attention + times*d.Attention,
		Pending:   c.Pending + times*d.Pending,
		Suspended: c.Suspended + times*d.Suspended,
	}
}

// earliest is the earlier of two times, where zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// counting sums links up by what they are alike in; deleted ones do not count.
type counting map[LinkCount]LinkCount

func (c counting) add(row LinkRow, n int64) {
	status := row.State.Status()
	if status == link.StatusAbsent || status == link.StatusDeleted {
		return
	}
	key := LinkCount{Provider: row.State.Provider, Status: status, Health: row.Grants.Health()}
	sum := c[key]
	sum.Links += n
	sum.Healthy += n * int64(row.Grants.Healthy)
	sum.Retrying += n * int64(row.Grants.Retrying)
	sum.Attention += n * int64(row.Grants.Attention)
	c[key] = sum
}

// list leaves out what sums up to nothing.
func (c counting) list() []LinkCount {
	var all []LinkCount
	for key, sum := range c {
		if sum != (LinkCount{}) {
			sum.Provider, sum.Status, sum.Health = key.Provider, key.Status, key.Health
			all = append(all, sum)
		}
	}
	return all
}
