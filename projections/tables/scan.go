package tables

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/projections"
)

var _ projections.Scanner = (*Reader)(nil)

// ScanLinks walks over all links of a generation.
func (r *Reader) ScanLinks(ctx context.Context, generation int, each func(projections.StoredLink) error) error {
	const sql = `SELECT link_id, sequence, changed, status, provider, health, next_expiry, name_lower, updated_at, doc FROM links_gN`
	return r.query(ctx, In(generation, sql), nil, func(scan func(...any) error) error {
		var s projections.StoredLink
		var next, updated instant
		c := &s.Columns
		err := scanned(scan, &s.Row, &c.Link, sequence{&c.Sequence}, sequence{&c.Changed}, &c.Status, &c.Provider, &c.Health, &next, &c.Name, &updated)
		if err != nil {
			return fmt.Errorf("link %s: %w", c.Link, err)
		}
		c.Name = append([]byte{}, c.Name...) // an empty one is not nil
		c.NextExpiry, c.UpdatedAt = time.Time(next), time.Time(updated)
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
