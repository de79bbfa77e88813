package cockroach

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"outlink/domain"
	"outlink/projections"
	"outlink/projections/tables"
)

const (
	advance = `UPDATE projections SET sequence = $4, problem = '', updated_at = $5
		WHERE name = $1 AND generation = $2 AND sequence = $3`

	report = `UPDATE projections SET problem = $4, updated_at = $5
		WHERE name = $1 AND generation = $2 AND sequence = $3`

	putLinks = `INSERT INTO links_gN (link_id, sequence, changed, status, provider, health, next_expiry, name_lower, updated_at, doc)
		SELECT a, b, c, d, e, f, g, h, i, j::JSONB
		FROM UNNEST($1::UUID[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::TIMESTAMPTZ[], $8::BYTEA[],
			$9::TIMESTAMPTZ[], $10::TEXT[]) AS r (a, b, c, d, e, f, g, h, i, j)
		ON CONFLICT (link_id) DO UPDATE SET sequence = excluded.sequence, changed = excluded.changed, status = excluded.status, provider = excluded.provider,
			health = excluded.health, next_expiry = excluded.next_expiry, name_lower = excluded.name_lower,
			updated_at = excluded.updated_at, doc = excluded.doc
		WHERE links_gN.sequence <= excluded.sequence`

	putCounts = `INSERT INTO link_counts_gN (provider, status, health, links, healthy, retrying, attention)
		SELECT a, b, c, d, e, f, g
		FROM UNNEST($1::TEXT[], $2::TEXT[], $3::TEXT[], $4::BIGINT[], $5::BIGINT[], $6::BIGINT[], $7::BIGINT[]) AS r (a, b, c, d, e, f, g)
		ON CONFLICT (provider, status, health) DO UPDATE SET links = link_counts_gN.links + excluded.links,
			healthy = link_counts_gN.healthy + excluded.healthy, retrying = link_counts_gN.retrying + excluded.retrying,
			attention = link_counts_gN.attention + excluded.attention`

	putGrants = `INSERT INTO grants_gN (grant_id, link_id, sequence, status, subject, due_at, expires_at, kept_until, updated_at, doc)
		SELECT a, b, c, d, e, f, g, h, i, j
		FROM UNNEST($1::UUID[], $2::UUID[], $3::BIGINT[], $4::TEXT[], $5::BYTEA[], $6::TIMESTAMPTZ[], $7::TIMESTAMPTZ[],
			$8::TIMESTAMPTZ[], $9::TIMESTAMPTZ[], $10::TEXT[]) AS r (a, b, c, d, e, f, g, h, i, j)
		ON CONFLICT (grant_id) DO UPDATE SET sequence = excluded.sequence, status = excluded.status, subject = excluded.subject,
			due_at = excluded.due_at, expires_at = excluded.expires_at, kept_until = excluded.kept_until,
			updated_at = excluded.updated_at, doc = excluded.doc
		WHERE grants_gN.sequence < excluded.sequence`

	putActivity = `INSERT INTO activity_gN (link_id, sequence, grant_id, type, at, nanos, id, version, actor, correlation, causation, traceparent, hash, data)
		SELECT a, b, c, d, e, f, g, h, i, j, k, l, m, n
		FROM UNNEST($1::UUID[], $2::BIGINT[], $3::UUID[], $4::TEXT[], $5::TIMESTAMPTZ[], $6::BIGINT[], $7::UUID[], $8::BIGINT[],
			$9::TEXT[], $10::TEXT[], $11::TEXT[], $12::TEXT[], $13::TEXT[], $14::TEXT[]) AS r (a, b, c, d, e, f, g, h, i, j, k, l, m, n)
		ON CONFLICT (link_id, sequence) DO NOTHING`

	nextExpiry = `SELECT kept_until FROM grants_gN
		WHERE link_id = $1 AND kept_until IS NOT NULL AND NOT grant_id = ANY($2)
		ORDER BY kept_until, grant_id LIMIT 1`
)

// Apply stores a batch; see [projections.Store]. The checkpoint and the rows go
// to the server together, and are undone together when the checkpoint is not
// where the batch begins.
func (s *Store) Apply(ctx context.Context, b projections.Batch) error {
	statements, err := statements(b)
	if err != nil {
		return err
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		var batch pgx.Batch
		for _, q := range statements {
			batch.Queue(tables.In(b.Generation, q.sql), q.args...)
		}
		results := tx.SendBatch(ctx, &batch)
		for i := range statements {
			tag, err := results.Exec()
			if err == nil && i == 0 && tag.RowsAffected() != 1 {
				err = projections.ErrFenced
			}
			if err != nil {
				_ = results.Close()
				return fmt.Errorf("store a batch of %s from %d: %w", b.Projection, b.From, err)
			}
		}
		return results.Close()
	})
}

// Report records a problem; see [projections.Store].
func (s *Store) Report(ctx context.Context, p projections.Position) error {
	return s.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, report, p.Projection, p.Generation, int64(p.Sequence), clean(p.Problem), time.Now())
		if err == nil && tag.RowsAffected() != 1 {
			err = projections.ErrFenced
		}
		if err != nil {
			return fmt.Errorf("record the problem of %s: %w", p.Projection, err)
		}
		return nil
	})
}

type statement struct {
	sql  string
	args []any
}

// statements stores a batch: the checkpoint first, then one statement a table.
func statements(b projections.Batch) ([]statement, error) {
	all := []statement{{advance, []any{b.Projection, b.Generation, int64(b.From), int64(b.To), time.Now()}}}
	for _, rows := range []func() (statement, error){
		func() (statement, error) { return put(putLinks, b.Links, linkColumns, jsonb) },
		func() (statement, error) { return counts(b.Counts), nil },
		func() (statement, error) { return put(putGrants, b.Grants, grantColumns, asIs) },
		func() (statement, error) { return events(b.Activity), nil },
	} {
		q, err := rows()
		if err != nil {
			return nil, err
		}
		if len(q.args) > 0 {
			all = append(all, q)
		}
	}
	return all, nil
}

// put makes a statement whose arguments are the columns of all rows, and their
// documents as the last one.
func put[Row any](sql string, rows []Row, columns func([]Row) []any, document func([]byte) string) (statement, error) {
	if len(rows) == 0 {
		return statement{}, nil
	}
	docs := make([]string, len(rows))
	for i, row := range rows {
		doc, err := json.Marshal(row)
		if err != nil {
			return statement{}, fmt.Errorf("encode a row: %w", err)
		}
		docs[i] = document(doc)
	}
	return statement{sql, append(columns(rows), docs)}, nil
}

func linkColumns(rows []projections.LinkRow) []any {
	all := column(rows, projections.LinkRow.Columns)
	return []any{
		column(all, func(c projections.LinkColumns) [16]byte { return c.Link }),
		column(all, func(c projections.LinkColumns) int64 { return int64(c.Sequence) }),
		column(all, func(c projections.LinkColumns) int64 { return int64(c.Changed) }),
		column(all, func(c projections.LinkColumns) string { return string(c.Status) }),
		column(all, func(c projections.LinkColumns) string { return clean(c.Provider) }),
		column(all, func(c projections.LinkColumns) string { return string(c.Health) }),
		column(all, func(c projections.LinkColumns) *time.Time { return orNull(c.NextExpiry) }),
		column(all, func(c projections.LinkColumns) []byte { return c.Name }),
		column(all, func(c projections.LinkColumns) time.Time { return c.UpdatedAt }),
	}
}

// counts makes the statement that adds to the counts of links.
func counts(changes []projections.LinkCount) statement {
	if len(changes) == 0 {
		return statement{}
	}
	return statement{putCounts, []any{
		column(changes, func(c projections.LinkCount) string { return clean(c.Provider) }),
		column(changes, func(c projections.LinkCount) string { return string(c.Status) }),
		column(changes, func(c projections.LinkCount) string { return string(c.Health) }),
		column(changes, func(c projections.LinkCount) int64 { return c.Links }),
		column(changes, func(c projections.LinkCount) int64 { return c.Healthy }),
		column(changes, func(c projections.LinkCount) int64 { return c.Retrying }),
		column(changes, func(c projections.LinkCount) int64 { return c.Attention }),
	}}
}

func grantColumns(rows []projections.GrantRow) []any {
	all := column(rows, projections.GrantRow.Columns)
	return []any{
		column(all, func(c projections.GrantColumns) [16]byte { return c.Grant }),
		column(all, func(c projections.GrantColumns) [16]byte { return c.Link }),
		column(all, func(c projections.GrantColumns) int64 { return int64(c.Sequence) }),
		column(all, func(c projections.GrantColumns) string { return string(c.Status) }),
		column(all, func(c projections.GrantColumns) []byte { return c.Subject }),
		column(all, func(c projections.GrantColumns) *time.Time { return orNull(c.DueAt) }),
		column(all, func(c projections.GrantColumns) *time.Time { return orNull(c.ExpiresAt) }),
		column(all, func(c projections.GrantColumns) *time.Time { return orNull(c.KeptUntil) }),
		column(all, func(c projections.GrantColumns) time.Time { return c.UpdatedAt }),
	}
}

// events makes the statement that stores events. They have no document: what is
// in one is in columns, and what the event itself says stays as it is.
func events(rows []domain.Record) statement {
	if len(rows) == 0 {
		return statement{}
	}
	return statement{putActivity, []any{
		column(rows, func(r domain.Record) [16]byte { return r.Link }),
		column(rows, func(r domain.Record) int64 { return int64(r.Sequence) }),
		column(rows, func(r domain.Record) *[16]byte {
			if !r.OfGrant() {
				return nil
			}
			id := [16]byte(r.Grant)
			return &id
		}),
		column(rows, func(r domain.Record) string { return clean(r.Type) }),
		column(rows, func(r domain.Record) time.Time { return r.Time.Truncate(time.Microsecond) }),
		column(rows, func(r domain.Record) int64 { return int64(r.Time.Nanosecond() % 1000) }), // which the time's column cannot hold
		column(rows, func(r domain.Record) [16]byte { return r.ID }),
		column(rows, func(r domain.Record) int64 { return int64(r.Version) }),
		column(rows, func(r domain.Record) string { return clean(r.Actor) }),
		column(rows, func(r domain.Record) string { return clean(r.Correlation) }),
		column(rows, func(r domain.Record) string { return clean(r.Causation) }),
		column(rows, func(r domain.Record) string { return clean(r.Traceparent) }),
		column(rows, func(r domain.Record) string { return clean(r.Hash) }),
		column(rows, func(r domain.Record) string { return clean(string(r.Data)) }),
	}}
}

// column gives a column's values. Ids are bytes: as uuid.UUID, the driver would
// make text of each and read that again.
func column[Row, T any](rows []Row, of func(Row) T) []T {
	values := make([]T, len(rows))
	for i, row := range rows {
		values[i] = of(row)
	}
	return values
}

// orNull is a time as a column, where zero means never.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// clean is a text as PostgreSQL takes it: valid, and without NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// jsonb is a document as JSONB takes it: without NUL, which it cannot escape
// either.
func jsonb(doc []byte) string {
	s := string(doc)
	if !strings.Contains(s, `\u0000`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], `\u0000`):
			b.WriteString(`\ufffd`)
			i += 5
		case s[i] == '\\': // takes the next byte along, which may be another backslash
			b.WriteString(s[i : i+2])
			i++
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func asIs(doc []byte) string { return string(doc) }

// NextExpiries finds each link's first expiry but that of the grants left out,
// by its index, all in one round trip.
func (s *Store) NextExpiries(ctx context.Context, generation int, without map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	found := map[uuid.UUID]time.Time{}
	var batch pgx.Batch
	for link, grants := range without {
		batch.Queue(tables.In(generation, nextExpiry), link, grants).Query(func(rows pgx.Rows) error {
			expiries, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
			if len(expiries) > 0 {
				found[link] = expiries[0].UTC()
			}
			return err
		})
	}
	if err := s.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, fmt.Errorf("find the next expiries: %w", err)
	}
	return found, nil
}
