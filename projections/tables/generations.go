package tables

import (
	"io/fs"
	"strconv"
	"strings"

	"outlink/domain"
)

// The pointer to the active generation moves by two statements in one
// transaction: never by DDL, and never by one UPDATE, which the unique index on
// the active one may refuse by the order of its rows. Arguments: name, generation.
const (
	Retire   = `UPDATE projections SET state = 'retired' WHERE name = $1 AND state = 'active' AND generation <> $2`
	Activate = `UPDATE projections SET state = 'active' WHERE name = $1 AND generation = $2
		AND NOT EXISTS (SELECT 1 FROM builds b WHERE b.name = $1 AND b.generation = $2 AND (b.passed < b.passes OR b.finished = 0 OR b.label <> ''))`

	Forget      = `DELETE FROM projections WHERE name = $1 AND generation = $2 AND state <> 'active'`
	ForgetBuild = `DELETE FROM builds WHERE name = $1 AND generation = $2`
)

// MarkFinished comes first in the transaction that counts a bulk load: a build
// whose end is run again is counted once. Arguments: name, generation.
const MarkFinished = `UPDATE builds SET finished = 1 WHERE name = $1 AND generation = $2 AND finished = 0`

// Recount fills the counts of links from the links themselves, which a bulk load
// leaves to the end.
var Recount = []string{
	`DELETE FROM link_counts_gN`,
	`INSERT INTO link_counts_gN (provider, status, health, links, healthy, retrying, attention)
		SELECT provider, status, health, count(*), sum(CAST(doc -> 'grants' ->> 'healthy' AS BIGINT)),
			sum(CAST(doc -> 'grants' ->> 'retrying' AS BIGINT)), sum(CAST(doc -> 'grants' ->> 'attention' AS BIGINT))
		FROM links_gN WHERE status NOT IN ('', 'deleted') GROUP BY provider, status, health`,
}

// NotLoaded refuses a switch.
func NotLoaded(projection string, generation int) error {
	return domain.Errorf(domain.FailedPrecondition, "generation %d of %s does not exist, is not loaded yet, or holds a past state; see: outlink projection ls", generation, projection)
}

// NotDroppable refuses to drop a generation.
func NotDroppable(projection string, generation int) error {
	return domain.Errorf(domain.FailedPrecondition, "generation %d of %s does not exist or is the active one; see: outlink projection ls", generation, projection)
}

// Views are the statements that make the views of the active generations:
// links_g{links} stands for the links' table, and so on.
func Views(files fs.FS, active map[string]int) ([]string, error) {
	statements, err := Statements(files, "schema/views.sql")
	if err != nil {
		return nil, err
	}
	for i, s := range statements {
		for projection, generation := range active {
			s = strings.ReplaceAll(s, "{"+projection+"}", strconv.Itoa(generation))
		}
		statements[i] = s
	}
	return statements, nil
}
