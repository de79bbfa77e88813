package sqlite

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/projections"
	"outlink/projections/tables"
)

// LinkRows returns those of the links that have a row.
func (s *Store) LinkRows(ctx context.Context, generation int, links []uuid.UUID) ([]projections.LinkRow, error) {
	return byID(ctx, s, tables.LinkDocs, tables.In(generation, tables.LinkQuestion+`link_id IN (SELECT unhex(value) FROM json_each($1))`), links)
}

// GrantRows returns those of the grants that have a row.
func (s *Store) GrantRows(ctx context.Context, generation int, grants []uuid.UUID) ([]projections.GrantRow, error) {
	return byID(ctx, s, tables.Docs[projections.GrantRow], tables.In(generation, `SELECT doc FROM grants_gN WHERE grant_id IN (SELECT unhex(value) FROM json_each($1))`), grants)
}

func byID[Row any](ctx context.Context, s *Store, docs tables.Answers[Row], sql string, ids []uuid.UUID) ([]Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return docs(ctx, s.query, sql, hexes(ids))
}

// NextExpiries finds each link's first expiry but that of the grants left out,
// by its index.
func (s *Store) NextExpiries(ctx context.Context, generation int, without map[uuid.UUID][]uuid.UUID) (map[uuid.UUID]time.Time, error) {
	sql := tables.In(generation, `SELECT kept_until FROM grants_gN
		WHERE link_id = $1 AND kept_until IS NOT NULL AND grant_id NOT IN (SELECT unhex(value) FROM json_each($2))
		ORDER BY kept_until, grant_id LIMIT 1`)
	found := map[uuid.UUID]time.Time{}
	for link, grants := range without {
		err := s.query(ctx, sql, []any{link, hexes(grants)}, func(scan func(...any) error) error {
			var micros int64
			err := scan(&micros)
			found[link] = time.UnixMicro(micros).UTC()
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("next expiry of link %s: %w", link, err)
		}
	}
	return found, nil
}

// hexes writes ids as a JSON array, for SQLite has no arrays of its own.
func hexes(ids []uuid.UUID) string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = hex.EncodeToString(id[:])
	}
	b, _ := json.Marshal(all) // strings always encode
	return string(b)
}
