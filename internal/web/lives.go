package web

import (
	"context"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"outlink/projections"
)

// lives remembers, for each link of a list, the grant whose token ends first. A
// row of the list knows when that is, but neither when the token began nor when
// it is renewed. A live page keeps it, and asks only about rows that changed.
type lives map[uuid.UUID]firstToEnd

type firstToEnd struct {
	projections.GrantRow
	expires  time.Time
	sequence uint64 // of the list's row it was looked up for
}

// among is how many grants of a link are searched for the one that ends first.
// Of a link with more, the list tells the end alone.
const among = 20

// learn looks up what it does not know yet.
func (l lives) learn(ctx context.Context, read projections.Reader, rows []projections.LinkRow) error {
	found := make([]*projections.GrantRow, len(rows))
	lookups, ctx := errgroup.WithContext(ctx)
	lookups.SetLimit(4)
	for i, row := range rows {
		if known := l[row.Link]; row.NextExpiry.IsZero() || known.sequence == row.Sequence && known.expires.Equal(row.NextExpiry) {
			continue
		}
		lookups.Go(func() error {
			grants, _, err := read.Grants(ctx, projections.GrantFilter{Link: row.Link, Limit: among})
			found[i] = endingAt(grants, row.NextExpiry)
			return err
		})
	}
	if err := lookups.Wait(); err != nil {
		return err
	}
	for i, g := range found {
		if g != nil { // else the grants are behind the links, and are asked for again
			l[rows[i].Link] = firstToEnd{*g, rows[i].NextExpiry, rows[i].Sequence}
		}
	}
	return nil
}

func endingAt(grants []projections.GrantRow, expires time.Time) *projections.GrantRow {
	for i := range grants {
		c := grants[i].State.Credential
		if c != nil && c.ExpiresAt.Truncate(time.Microsecond).Equal(expires) {
			return &grants[i]
		}
	}
	return nil
}
