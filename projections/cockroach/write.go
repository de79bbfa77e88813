package cockroach

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/v1"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"outlink/domain"
	"outlink/projections"
	"outlink/projections/tables"
)

const (
	advance = `UPDATE projections SET sequence = $4, problem = '', updated_at = $5
		WHERE name = $1 AND generation = $2 AND sequence = $3`

	report = `UPDATE projections SET problem = $4, updated_at = $5
		WHERE name = $1 AND generation = $2 AND sequence = $3`

	putLinks = `INSERT INTO links_gN (link_id, sequence, changed, status, provider, health, name_lower, updated_at, doc)
		SELECT a, b, c, d, e, f, g, h, i::JSONB
		FROM UNNEST($1::UUID[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[], $5::TEXT[], $6::TEXT[], $7::BYTEA[],
			$8::TIMESTAMPTZ[], $9::TEXT[]) AS r (a, b, c, d, e, f, g, h, i)
		ON CONFLICT (link_id) DO UPDATE SET sequence = excluded.sequence, changed = excluded.changed, status = excluded.status, provider = excluded.provider,
			health = excluded.health, name_lower = excluded.name_lower, updated_at = excluded.updated_at, doc = excluded.doc
		WHERE links_gN.sequence < excluded.sequence`

	putExpiries = `INSERT INTO link_expiries_gN (link_id, status, provider, health, name_lower, next_expiry)
		SELECT a, b, c, d, e, f
		FROM UNNEST($1::UUID[], $2::TEXT[], $3::TEXT[], $4::TEXT[], $5::BYTEA[], $6::TIMESTAMPTZ[]) AS r (a, b, c, d, e, f)
		ON CONFLICT (link_id) DO UPDATE SET status = excluded.status, provider = excluded.provider, health = excluded.health,
			name_lower = excluded.name_lower, next_expiry = excluded.next_expiry`

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

	nextExpiries = `SELECT l.id, g.kept_until FROM UNNEST($1::UUID[]) AS l (id)
		CROSS JOIN LATERAL (SELECT kept_until FROM grants_gN
			WHERE link_id = l.id AND kept_until IS NOT NULL AND grant_id NOT IN (SELECT UNNEST($2::UUID[]))
			ORDER BY kept_until, grant_id LIMIT 1) AS g`
)

// bulk is from how many events on COPY is worth another way to the server and back:
// per event it takes a third of this process's time for a statement, and two thirds
// of PostgreSQL's.
const bulk = 200

// Apply stores a batch; see [projections.Store].
func (s *Store) Apply(ctx context.Context, b projections.Batch) error {
	if len(b.Activity) < s.bulk || !onlyEvents(b) {
		return s.upsert(ctx, b)
	}
	err := s.Load(ctx, b, false)
	if hasState(err, "23505") { // some are there already, as when the checkpoint was set back
		return s.upsert(ctx, b)
	}
	return err
}

// onlyEvents reports whether a batch is all that Load takes.
func onlyEvents(b projections.Batch) bool {
	return b.To > b.From && len(b.Links)+len(b.Expiries)+len(b.Counts)+len(b.Grants) == 0
}

// upsert has the checkpoint and the rows go to the server together; they are undone
// together when the checkpoint is not where the batch begins.
func (s *Store) upsert(ctx context.Context, b projections.Batch) error {
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
		func() (statement, error) { return putLinkRows(putLinks, b.Links) },
		func() (statement, error) { return expiries(b.Expiries), nil },
		func() (statement, error) { return counts(b.Counts), nil },
		func() (statement, error) { return putGrantRows(putGrants, b.Grants) },
		func() (statement, error) { return events(b.Activity), nil },
	} {
		q, err := rows()
		if err != nil {
			return nil, err
		}
		if len(q.args) > 0 {
			all = append(all, roomy(q))
		}
	}
	return all, nil
}

// put makes a statement whose arguments are the columns of all rows, and their
// documents as the last one.
func put[Row any](sql string, rows []Row, columns func([]Row) []any, document func(Row) ([]byte, error)) (statement, error) {
	if len(rows) == 0 {
		return statement{}, nil
	}
	docs := make(pgtype.FlatArray[[]byte], len(rows))
	for i, row := range rows {
		var err error
		if docs[i], err = document(row); err != nil {
			return statement{}, fmt.Errorf("encode a row: %w", err)
		}
	}
	return statement{sql, append(columns(rows), docs)}, nil
}

func putLinkRows(sql string, rows []projections.LinkRow) (statement, error) {
	return put(sql, rows, linkColumns, func(r projections.LinkRow) ([]byte, error) {
		doc, err := json.Marshal(r.Document())
		return jsonb(doc), err
	})
}

func putGrantRows(sql string, rows []projections.GrantRow) (statement, error) {
	return put(sql, rows, grantColumns, func(r projections.GrantRow) ([]byte, error) { return json.Marshal(r) })
}

func linkColumns(rows []projections.LinkRow) []any {
	all := column(rows, (*projections.LinkRow).Columns)
	return []any{
		idColumn(all, func(c *projections.LinkColumns) uuid.UUID { return c.Link }),
		column(all, func(c *projections.LinkColumns) int64 { return int64(c.Sequence) }),
		column(all, func(c *projections.LinkColumns) int64 { return int64(c.Changed) }),
		column(all, func(c *projections.LinkColumns) string { return string(c.Status) }),
		column(all, func(c *projections.LinkColumns) string { return clean(c.Provider) }),
		column(all, func(c *projections.LinkColumns) string { return string(c.Health) }),
		column(all, func(c *projections.LinkColumns) []byte { return c.Name }),
		column(all, func(c *projections.LinkColumns) time.Time { return c.UpdatedAt }),
	}
}

// expiries makes the statement that stores the next expiries of links.
func expiries(rows []projections.LinkExpiry) statement {
	if len(rows) == 0 {
		return statement{}
	}
	return statement{putExpiries, []any{
		idColumn(rows, func(e *projections.LinkExpiry) uuid.UUID { return e.Link }),
		column(rows, func(e *projections.LinkExpiry) string { return string(e.Status) }),
		column(rows, func(e *projections.LinkExpiry) string { return clean(e.Provider) }),
		column(rows, func(e *projections.LinkExpiry) string { return string(e.Health) }),
		column(rows, func(e *projections.LinkExpiry) []byte { return e.Name }),
		column(rows, func(e *projections.LinkExpiry) *time.Time { return orNull(e.NextExpiry) }),
	}}
}

// counts makes the statement that adds to the counts of links.
func counts(changes []projections.LinkCount) statement {
	if len(changes) == 0 {
		return statement{}
	}
	return statement{putCounts, []any{
		column(changes, func(c *projections.LinkCount) string { return clean(c.Provider) }),
		column(changes, func(c *projections.LinkCount) string { return string(c.Status) }),
		column(changes, func(c *projections.LinkCount) string { return string(c.Health) }),
		column(changes, func(c *projections.LinkCount) int64 { return c.Links }),
		column(changes, func(c *projections.LinkCount) int64 { return c.Healthy }),
		column(changes, func(c *projections.LinkCount) int64 { return c.Retrying }),
		column(changes, func(c *projections.LinkCount) int64 { return c.Attention }),
	}}
}

func grantColumns(rows []projections.GrantRow) []any {
	all := column(rows, (*projections.GrantRow).Columns)
	return []any{
		idColumn(all, func(c *projections.GrantColumns) uuid.UUID { return c.Grant }),
		idColumn(all, func(c *projections.GrantColumns) uuid.UUID { return c.Link }),
		column(all, func(c *projections.GrantColumns) int64 { return int64(c.Sequence) }),
		column(all, func(c *projections.GrantColumns) string { return string(c.Status) }),
		column(all, func(c *projections.GrantColumns) []byte { return c.Subject }),
		column(all, func(c *projections.GrantColumns) *time.Time { return orNull(c.DueAt) }),
		column(all, func(c *projections.GrantColumns) *time.Time { return orNull(c.ExpiresAt) }),
		column(all, func(c *projections.GrantColumns) *time.Time { return orNull(c.KeptUntil) }),
		column(all, func(c *projections.GrantColumns) time.Time { return c.UpdatedAt }),
	}
}

// events makes the statement that stores events. They have no document: what is
// in one is in columns, and what the event itself says stays as it is.
func events(rows []domain.Record) statement {
	if len(rows) == 0 {
		return statement{}
	}
	return statement{putActivity, []any{
		idColumn(rows, func(r *domain.Record) uuid.UUID { return r.Link }),
		column(rows, func(r *domain.Record) int64 { return int64(r.Sequence) }),
		optionalIDs(column(rows, func(r *domain.Record) uuid.UUID { return r.Grant })), // none: a link's event
		column(rows, func(r *domain.Record) string { return clean(r.Type) }),
		column(rows, func(r *domain.Record) time.Time { return r.Time.Truncate(time.Microsecond) }),
		column(rows, func(r *domain.Record) int64 { return int64(r.Time.Nanosecond() % 1000) }), // which the time's column cannot hold
		idColumn(rows, func(r *domain.Record) uuid.UUID { return r.ID }),
		column(rows, func(r *domain.Record) int64 { return int64(r.Version) }),
		column(rows, func(r *domain.Record) string { return clean(r.Actor) }),
		column(rows, func(r *domain.Record) string { return clean(r.Correlation) }),
		column(rows, func(r *domain.Record) string { return clean(r.Causation) }),
		column(rows, func(r *domain.Record) string { return clean(r.Traceparent) }),
		column(rows, func(r *domain.Record) string { return clean(r.Hash) }),
		column(rows, func(r *domain.Record) []byte { return cleanBytes(r.Data) }),
	}}
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
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s // as nearly always
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// cleanBytes is clean for a text that is not copied when it is clean.
func cleanBytes(b []byte) []byte {
	if utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 {
		return b
	}
	return []byte(clean(string(b)))
}

// jsonb is a document as JSONB takes it: without NUL, which it cannot escape
// either.
func jsonb(doc []byte) []byte {
	if !bytes.Contains(doc, []byte(`\u0000`)) {
		return doc
	}
	var b []byte
	for i := 0; i < len(doc); i++ {
		switch {
		case bytes.HasPrefix(doc[i:], []byte(`\u0000`)):
			b = append(b, `\ufffd`...)
			i += 5
		case doc[i] == '\\': // takes the next byte along, which may be another backslash
			b = append(b, doc[i:i+2]...)
			i++
		default:
			b = append(b, doc[i])
		}
	}
	return b
}

// NextExpiries finds each link's first expiry but that of the grants left out,
// by its index, all in one statement: a grant is of one link.
func (s *Store) NextExpiries(ctx context.Context, generation int, without map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	links, leftOut := make(ids, 0, len(without)), ids{}
	for link, grants := range without {
		links, leftOut = append(links, link), append(leftOut, grants...)
	}
	rows, _ := s.pool.Query(ctx, tables.In(generation, nextExpiries), links, leftOut) // the error comes with the rows
	found := make(map[uuid.UUID]time.Time, len(without))
	var link [16]byte
	var expiry time.Time
	_, err := pgx.ForEachRow(rows, []any{&link, &expiry}, func() error {
		found[link] = expiry.UTC()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the next expiries: %w", err)
	}
	return found, nil
}
