package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"outlink/domain"
	"outlink/projections"
)

// The best batch strategy on PostgreSQL that was measured before the projector was
// written: a loop that folds a large batch on top of rows that it keeps in memory, copies
// them to staging tables and merges them, in one transaction with the timeline and
// the checkpoints. It reads no log, and does not fold while it stores.
const stagedBatch = 5000

const addCount = `INSERT INTO link_counts_g1 AS t (provider, status, health, links, healthy, retrying, attention) VALUES ($1, $2, $3, $4, $5, $6, $7)
	ON CONFLICT (provider, status, health) DO UPDATE SET links = t.links + excluded.links, healthy = t.healthy + excluded.healthy,
	retrying = t.retrying + excluded.retrying, attention = t.attention + excluded.attention`

// A table that rows are staged for.
type stagedTable struct {
	name, key string
	columns   []string
}

var (
	stagedLinks = stagedTable{"links", "link_id",
		[]string{"link_id", "sequence", "changed", "status", "provider", "health", "name_lower", "updated_at", "doc"}}
	stagedExpiries = stagedTable{"link_expiries", "link_id",
		[]string{"link_id", "status", "provider", "health", "name_lower", "next_expiry"}}
	stagedGrants = stagedTable{"grants", "grant_id",
		[]string{"grant_id", "link_id", "sequence", "status", "subject", "due_at", "expires_at", "kept_until", "updated_at", "doc"}}
	timeline = []string{"link_id", "sequence", "grant_id", "type", "at", "nanos", "id", "version", "actor", "correlation", "causation", "traceparent", "hash", "data"}
)

func (t stagedTable) merge() string {
	set := make([]string, len(t.columns))
	for i, c := range t.columns {
		set[i] = c + " = excluded." + c
	}
	return fmt.Sprintf(`INSERT INTO %[1]s_g1 (%[2]s) SELECT %[2]s FROM stage_%[1]s ON CONFLICT (%[3]s) DO UPDATE SET %[4]s`,
		t.name, strings.Join(t.columns, ", "), t.key, strings.Join(set, ", "))
}

// staged follows a log in memory by that strategy, in a new database with its tables.
func staged(b *testing.B, log inMemory, url string) time.Duration {
	b.Helper()
	ctx := b.Context()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, t := range []stagedTable{stagedLinks, stagedExpiries, stagedGrants} {
		if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE TEMP TABLE stage_%[1]s (LIKE %[1]s_g1) ON COMMIT DELETE ROWS`, t.name)); err != nil {
			b.Fatal(err)
		}
	}
	rows := kept{links: map[uuid.UUID]projections.LinkRow{}, grants: map[uuid.UUID]projections.GrantRow{}, of: map[uuid.UUID][]uuid.UUID{}}
	at := projections.Position{Generation: projections.FirstGeneration}
	began := time.Now()
	for records := range slices.Chunk(log, stagedBatch) {
		links, err := projections.Links.Fold(ctx, rows, at, records)
		if err != nil {
			b.Fatal(err)
		}
		rows.store(links)
		if err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
			return stage(ctx, tx, links, records)
		}); err != nil {
			b.Fatal(err)
		}
		at.Sequence = links.To
	}
	return time.Since(began)
}

// stage stores one batch.
func stage(ctx context.Context, tx pgx.Tx, links projections.Batch, records []domain.Record) error {
	moved, err := tx.Exec(ctx, `UPDATE projections SET sequence = $1, updated_at = now() WHERE sequence = $2`, int64(links.To), int64(links.From))
	if err != nil || moved.RowsAffected() != int64(len(projections.All())) {
		return fmt.Errorf("the checkpoints: %s, %w", moved, err)
	}
	put := func(t stagedTable, rows pgx.CopyFromSource) error {
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"stage_" + t.name}, t.columns, rows); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, t.merge())
		return err
	}
	if err := put(stagedLinks, pgx.CopyFromSlice(len(links.Links), func(i int) ([]any, error) {
		c := links.Links[i].Columns()
		doc, err := json.Marshal(links.Links[i].Document())
		return []any{c.Link, int64(c.Sequence), int64(c.Changed), string(c.Status), c.Provider, string(c.Health), c.Name, c.UpdatedAt, doc}, err
	})); err != nil {
		return err
	}
	if err := put(stagedExpiries, pgx.CopyFromSlice(len(links.Expiries), func(i int) ([]any, error) {
		e := links.Expiries[i]
		return []any{e.Link, string(e.Status), e.Provider, string(e.Health), e.Name, orNull(e.NextExpiry)}, nil
	})); err != nil {
		return err
	}
	if err := put(stagedGrants, pgx.CopyFromSlice(len(links.Grants), func(i int) ([]any, error) {
		c := links.Grants[i].Columns()
		doc, err := json.Marshal(links.Grants[i])
		return []any{c.Grant, c.Link, int64(c.Sequence), string(c.Status), c.Subject, orNull(c.DueAt), orNull(c.ExpiresAt), orNull(c.KeptUntil), c.UpdatedAt, string(doc)}, err
	})); err != nil {
		return err
	}
	for _, c := range links.Counts { // mostly none: a renewed token moves no count
		if _, err := tx.Exec(ctx, addCount, c.Provider, string(c.Status), string(c.Health), c.Links, c.Healthy, c.Retrying, c.Attention); err != nil {
			return err
		}
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"activity_g1"}, timeline, pgx.CopyFromSlice(len(records), func(i int) ([]any, error) {
		r := &records[i]
		var grant any
		if r.Grant != uuid.Nil {
			grant = r.Grant
		}
		return []any{r.Link, int64(r.Sequence), grant, r.Type, r.Time, int64(r.Time.Nanosecond() % 1000), r.ID, int64(r.Version), r.Actor,
			r.Correlation, r.Causation, r.Traceparent, r.Hash, string(r.Data)}, nil
	}))
	return err
}

func orNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// kept are all rows there are, in memory.
type kept struct {
	links  map[uuid.UUID]projections.LinkRow
	grants map[uuid.UUID]projections.GrantRow
	of     map[uuid.UUID][]uuid.UUID // the grants of a link
}

func (k kept) store(b projections.Batch) {
	for _, row := range b.Links {
		k.links[row.Link] = row
	}
	for _, e := range b.Expiries {
		row := k.links[e.Link]
		row.NextExpiry = e.NextExpiry
		k.links[e.Link] = row
	}
	for _, row := range b.Grants {
		if _, known := k.grants[row.Grant]; !known {
			k.of[row.Link] = append(k.of[row.Link], row.Grant)
		}
		k.grants[row.Grant] = row
	}
}

// LinkRows implements projections.Rows.
func (k kept) LinkRows(_ context.Context, _ int, ids []uuid.UUID) ([]projections.LinkRow, error) {
	return those(k.links, ids), nil
}

// GrantRows implements projections.Rows.
func (k kept) GrantRows(_ context.Context, _ int, ids []uuid.UUID) ([]projections.GrantRow, error) {
	return those(k.grants, ids), nil
}

// NextExpiries implements projections.Rows.
func (k kept) NextExpiries(_ context.Context, _ int, without map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	first := map[uuid.UUID]time.Time{}
	for link, leftOut := range without {
		for _, id := range k.of[link] {
			until := k.grants[id].KeptUntil()
			if known, ok := first[link]; !until.IsZero() && (!ok || until.Before(known)) && !slices.Contains(leftOut, id) {
				first[link] = until
			}
		}
	}
	return first, nil
}

func those[Row any](all map[uuid.UUID]Row, ids []uuid.UUID) []Row {
	var found []Row
	for _, id := range ids {
		if row, ok := all[id]; ok {
			found = append(found, row)
		}
	}
	return found
}
