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
	links  folded[LinkRow]
	grants folded[GrantRow]
}

// folded are the rows of one kind by their ids.
type folded[Row any] map[uuid.UUID]*change[Row]

// change is a row and what it was when the fold began; nil: there was none.
type change[Row any] struct {
	now    Row
	before *Row
}

func (c *change[Row]) was() *Row {
	if c.before == nil {
		return new(Row)
	}
	return c.before
}

// of returns a row to be changed.
func (f folded[Row]) of(id uuid.UUID) *Row {
	c := f[id]
	if c == nil {
		c = new(change[Row])
		f[id] = c
	}
	return &c.now
}

func newLinksFold() *linksFold {
	return &linksFold{links: folded[LinkRow]{}, grants: folded[GrantRow]{}}
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
	f := &linksFold{links: make(folded[LinkRow], len(links)), grants: make(folded[GrantRow], len(grants))}
	for i, row := range links {
		f.links[row.Link] = &change[LinkRow]{row, &links[i]}
	}
	for i, row := range grants {
		f.grants[row.Grant] = &change[GrantRow]{row, &grants[i]}
	}
	return f, nil
}

func (f *linksFold) apply(r domain.Record) error {
	if r.OfGrant() {
		return f.applyGrant(r)
	}
	row := f.links.of(r.Link)
	if r.Sequence <= row.Sequence {
		return nil
	}
	state, err := evolveLink(row.State, r)
	if err != nil {
		return err
	}
	row.State, row.Changed = state, r.Sequence
	row.touch(r)
	return nil
}

// applyGrant changes the link's row only if the counts of its grants change. When
// the next of them expires is found out at the end, see expiries.
func (f *linksFold) applyGrant(r domain.Record) error {
	row := f.grants.of(r.Grant)
	if r.Sequence <= row.Sequence {
		return nil
	}
	was := row.counts()
	state, err := evolveGrant(row.State, r)
	if err != nil {
		return err
	}
	if row.Sequence == 0 {
		row.Link, row.Grant, row.CreatedAt = r.Link, r.Grant, r.Time.UTC()
	}
	row.State, row.Sequence, row.UpdatedAt = state, r.Sequence, r.Time.UTC()
	if is := row.counts(); was != is {
		f.links.of(r.Link).count(was, is, r)
	}
	return nil
}

// count has a link's row say that one of its grants counts otherwise.
func (r *LinkRow) count(was, is GrantCounts, e domain.Record) {
	health := r.Grants.Health()
	r.Grants = r.Grants.plus(was, -1).plus(is, +1)
	if r.Grants.Health() != health {
		r.Changed = e.Sequence
	}
	r.touch(e)
}

func (r *LinkRow) touch(e domain.Record) {
	r.Link, r.Sequence, r.UpdatedAt = e.Link, e.Sequence, e.Time.UTC()
}

func (f *linksFold) finish(ctx context.Context, s Rows, b *Batch) error {
	if err := f.expiries(ctx, s, b.Generation, b.From); err != nil {
		return err
	}
	b.Grants = make([]GrantRow, 0, len(f.grants)) // large rows, that growing would move
	for _, row := range f.grants {
		if row.now.Sequence > b.From {
			b.Grants = append(b.Grants, row.now)
		}
	}
	for _, row := range f.links {
		changed := row.now.Sequence > b.From
		if changed {
			b.Links = append(b.Links, row.now)
		}
		if changed || !row.now.NextExpiry.Equal(row.was().NextExpiry) {
			b.Expiries = append(b.Expiries, row.now.Expiry())
		}
	}
	b.Counts = f.countChanges(b.From)
	return nil
}

// expiries gives the links whose grants changed after a sequence their next
// expiry. A row has it without an event of its own, and where the grant that was
// renewed was not the next, it stays.
func (f *linksFold) expiries(ctx context.Context, s Rows, generation int, from uint64) error {
	touched := map[uuid.UUID][]uuid.UUID{} // link to its grants that end at another time
	for id, row := range f.grants {
		if row.now.Sequence > from && !row.now.KeptUntil().Equal(row.was().KeptUntil()) {
			touched[row.now.Link] = append(touched[row.now.Link], id)
		}
	}
	others, err := f.othersExpiries(ctx, s, generation, touched)
	if err != nil {
		return err
	}
	for id, grants := range touched {
		row := f.links.of(id)
		row.NextExpiry = others[id]
		for _, g := range grants {
			row.NextExpiry = earliest(row.NextExpiry, f.grants.of(g).KeptUntil())
		}
	}
	return nil
}

// countChanges is by how many the counts of links change.
func (f *linksFold) countChanges(from uint64) []LinkCount {
	changes := counting{}
	for _, row := range f.links {
		if row.now.Sequence > from {
			changes.add(*row.was(), -1)
			changes.add(row.now, +1)
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
		row := f.links[id].was()
		had, wasEarliest := 0, false
		for _, g := range grants {
			before := f.grants[g].was()
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
