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

// linksFold folds links and rolls up their grants. Counts move by deltas: the
// difference between what a grant was and what it is now.
type linksFold struct {
	links, linksBefore     map[uuid.UUID]LinkRow
	members, membersBefore map[uuid.UUID]Member
}

func startLinks(ctx context.Context, s Rows, generation int, records []domain.Record) (fold, error) {
	links, err := s.LinkRows(ctx, generation, keys(records, linkOf))
	if err != nil {
		return nil, err
	}
	members, err := s.Members(ctx, generation, keys(records, grantOf))
	if err != nil {
		return nil, err
	}
	f := &linksFold{links: map[uuid.UUID]LinkRow{}, members: map[uuid.UUID]Member{}}
	for _, row := range links {
		f.links[row.Link] = row
	}
	for _, m := range members {
		f.members[m.Grant] = m
	}
	f.linksBefore, f.membersBefore = maps.Clone(f.links), maps.Clone(f.members)
	return f, nil
}

func (f *linksFold) apply(r domain.Record) error {
	row := f.links[r.Link]
	if r.Sequence <= row.Sequence {
		return nil
	}
	var err error
	if r.OfGrant() {
		row.Grants, err = f.applyMember(row.Grants, r)
	} else {
		row.State, err = evolveLink(row.State, r)
	}
	if err != nil {
		return err
	}
	row.Link, row.Sequence, row.UpdatedAt = r.Link, r.Sequence, r.Time.UTC()
	f.links[r.Link] = row
	return nil
}

func (f *linksFold) applyMember(counts GrantCounts, r domain.Record) (GrantCounts, error) {
	before := f.members[r.Grant]
	state, err := evolveGrant(before.State, r)
	if err != nil {
		return counts, err
	}
	after := Member{Link: r.Link, Grant: r.Grant, Sequence: r.Sequence, State: state}
	f.members[r.Grant] = after
	return counts.plus(before.counts(), -1).plus(after.counts(), +1), nil
}

func (f *linksFold) finish(ctx context.Context, s Rows, b *Batch) error {
	touched := map[uuid.UUID][]uuid.UUID{} // link to its grants that the batch changed
	for id, m := range f.members {
		if m.Sequence > b.From {
			b.Members = append(b.Members, m)
			touched[m.Link] = append(touched[m.Link], id)
		}
	}
	others, err := f.othersExpiries(ctx, s, b.Generation, touched)
	if err != nil {
		return err
	}
	for id, row := range f.links {
		if row.Sequence <= b.From {
			continue
		}
		if grants, ok := touched[id]; ok {
			row.NextExpiry = others[id]
			for _, g := range grants {
				row.NextExpiry = earliest(row.NextExpiry, f.members[g].ExpiresAt())
			}
		}
		b.Links = append(b.Links, row)
	}
	b.Counts = f.countChanges(b.From)
	return nil
}

// countChanges is by how many the counts of links change.
func (f *linksFold) countChanges(from uint64) []LinkCount {
	changes := map[LinkCount]int64{}
	add := func(row LinkRow, n int64) {
		if status := row.State.Status(); status != link.StatusAbsent && status != link.StatusDeleted {
			changes[LinkCount{Provider: row.State.Provider, Status: status, Health: row.Grants.Health()}] += n
		}
	}
	for id, row := range f.links {
		if row.Sequence > from {
			add(f.linksBefore[id], -1)
			add(row, +1)
		}
	}
	var all []LinkCount
	for c, n := range changes {
		if c.Links = n; n != 0 {
			all = append(all, c)
		}
	}
	return all
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
			before := f.membersBefore[g]
			had += before.counts().Total
			wasEarliest = wasEarliest || before.ExpiresAt().Equal(row.NextExpiry)
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

// ExpiresAt is when the access token ends that Outlink keeps alive, to the
// microsecond, or zero for a grant that is neither healthy nor retrying.
func (m Member) ExpiresAt() time.Time {
	if c := m.counts(); m.State.Credential == nil || c.Healthy+c.Retrying == 0 {
		return time.Time{}
	}
	return m.State.Credential.ExpiresAt.UTC().Truncate(time.Microsecond)
}

// counts is what the grant contributes to its link.
func (m Member) counts() GrantCounts {
	c := GrantCounts{Total: 1}
	switch m.State.Status() {
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
