package tables

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"outlink/domain"
	"outlink/projections"
)

var _ projections.Scanner = (*Reader)(nil)

// ScanLinks walks over all links of a generation, and then over the expiries of
// none, which have no document.
func (r *Reader) ScanLinks(ctx context.Context, generation int, each func(projections.StoredLink) error) error {
	const sql = `SELECT l.link_id, l.sequence, l.changed, l.status, l.provider, l.health, l.name_lower, l.updated_at,
			e.link_id, coalesce(e.status, ''), coalesce(e.provider, ''), coalesce(e.health, ''), e.name_lower, e.next_expiry, l.doc
		FROM links_gN l LEFT JOIN link_expiries_gN e ON e.link_id = l.link_id`
	err := r.query(ctx, In(generation, sql), nil, func(scan func(...any) error) error {
		var s projections.StoredLink
		var updated, next instant
		var expiryOf uuid.NullUUID
		c, e := &s.Columns, &s.Expiry
		err := scanned(scan, &s.Row, &c.Link, sequence{&c.Sequence}, sequence{&c.Changed}, &c.Status, &c.Provider, &c.Health, &c.Name, &updated,
			&expiryOf, &e.Status, &e.Provider, &e.Health, &e.Name, &next)
		if err != nil {
			return fmt.Errorf("link %s: %w", c.Link, err)
		}
		c.Name, e.Name = append([]byte{}, c.Name...), append([]byte{}, e.Name...) // an empty one is not nil
		c.UpdatedAt, e.Link, e.NextExpiry = time.Time(updated), expiryOf.UUID, time.Time(next)
		s.Row.NextExpiry = e.NextExpiry
		return each(s)
	})
	if err != nil {
		return err
	}
	const alone = `SELECT link_id FROM link_expiries_gN e WHERE NOT EXISTS (SELECT 1 FROM links_gN l WHERE l.link_id = e.link_id)`
	return r.query(ctx, In(generation, alone), nil, func(scan func(...any) error) error {
		var s projections.StoredLink
		if err := scan(&s.Expiry.Link); err != nil {
			return fmt.Errorf("an expiry of no link: %w", err)
		}
		s.Row.Link = s.Expiry.Link
		return each(s)
	})
}

// ScanGrants does the same with grants.
func (r *Reader) ScanGrants(ctx context.Context, generation int, each func(projections.StoredGrant) error) error {
	const sql = `SELECT grant_id, link_id, sequence, status, subject, due_at, expires_at, kept_until, updated_at, doc FROM grants_gN`
	return r.query(ctx, In(generation, sql), nil, func(scan func(...any) error) error {
		var s projections.StoredGrant
		var due, expires, kept, updated instant
		c := &s.Columns
		err := scanned(scan, &s.Row, &c.Grant, &c.Link, sequence{&c.Sequence}, &c.Status, &c.Subject, &due, &expires, &kept, &updated)
		if err != nil {
			return fmt.Errorf("grant %s: %w", c.Grant, err)
		}
		c.Subject = append([]byte{}, c.Subject...)
		c.DueAt, c.ExpiresAt, c.KeptUntil, c.UpdatedAt = time.Time(due), time.Time(expires), time.Time(kept), time.Time(updated)
		return each(s)
	})
}

// ScanActivity does the same with events.
func (r *Reader) ScanActivity(ctx context.Context, generation int, each func(domain.Record) error) error {
	return events(ctx, r.query, In(generation, `SELECT `+eventColumns+` FROM activity_gN`), nil, each)
}

const eventColumns = `link_id, sequence, grant_id, type, at, nanos, id, version, actor, correlation, causation, traceparent, hash, data`

// events reads rows of the timeline.
func events(ctx context.Context, q Query, sql string, args []any, each func(domain.Record) error) error {
	return q(ctx, sql, args, func(scan func(...any) error) error {
		var r domain.Record
		var at instant
		var nanos int64
		var grant uuid.NullUUID
		err := scan(&r.Link, sequence{&r.Sequence}, &grant, &r.Type, &at, &nanos, &r.ID, sequence{&r.Version},
			&r.Actor, &r.Correlation, &r.Causation, &r.Traceparent, &r.Hash, (*[]byte)(&r.Data))
		if err != nil {
			return fmt.Errorf("event %d: %w", r.Sequence, err)
		}
		r.Grant, r.Time = grant.UUID, time.Time(at).Add(time.Duration(nanos))
		return each(r)
	})
}

// ScanCounts returns the counts that a generation keeps.
func (r *Reader) ScanCounts(ctx context.Context, generation int) ([]projections.LinkCount, error) {
	return r.counts(ctx, In(generation, `SELECT `+countColumns+` FROM link_counts_gN WHERE links <> 0 OR healthy <> 0 OR retrying <> 0 OR attention <> 0`))
}

// scanned reads columns, and the document as the last one.
func scanned(scan func(...any) error, row any, columns ...any) error {
	var doc []byte
	if err := scan(append(columns, &doc)...); err != nil {
		return err
	}
	return decode(doc, row)
}

// decode decodes a row's document with the second version of encoding/json, before
// Go has it: it takes less than half of the time, and a projector reads each row
// that it changes.
func decode(doc []byte, row any) error {
	if err := json.Unmarshal(doc, row); err != nil {
		return fmt.Errorf("decode a stored row: %w", err)
	}
	return nil
}

// sequence reads a column into a number without a sign.
type sequence struct{ to *uint64 }

// Scan implements sql.Scanner.
func (s sequence) Scan(src any) error {
	v, ok := src.(int64)
	if !ok {
		return fmt.Errorf("%T is no sequence", src)
	}
	*s.to = uint64(v)
	return nil
}
