package tables

import (
	"context"
	"fmt"
)

// Obsolete says how to remove what versions left that kept grants as a projection
// of their own: nothing where there is none of it. The projectors fill the new
// tables from the log. Each statement can be repeated, and the last one makes
// sure that none of them has to be.
func Obsolete(ctx context.Context, q Query) ([]string, error) {
	left := false
	generations := map[int]bool{}
	err := q(ctx, `SELECT name, generation FROM projections WHERE name IN ('links', 'grants', 'activity')`, nil, func(scan func(...any) error) error {
		var name string
		var generation int
		err := scan(&name, &generation)
		left = left || name == "grants"
		generations[generation] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for an older read model: %w", err)
	}
	if !left {
		return nil, nil
	}
	all := []string{`DROP VIEW IF EXISTS links_list`, `DROP VIEW IF EXISTS grants_due`, `DROP VIEW IF EXISTS refresh_health`, `DROP VIEW IF EXISTS activity`}
	for generation := range generations {
		for _, table := range append(Of("links", generation), In(generation, "link_grants_gN"), In(generation, "activity_gN")) {
			all = append(all, `DROP TABLE IF EXISTS `+table)
		}
	}
	return append(all, `DELETE FROM builds`, `DELETE FROM projections WHERE name <> 'grants'`, `DELETE FROM projections`), nil
}
