package tables

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
)

// Statements reads a schema file and splits it at the empty lines and
// semicolons between its statements, for the drivers take one at a time.
func Statements(files fs.FS, name string) ([]string, error) {
	b, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, fmt.Errorf("read schema file: %w", err)
	}
	var all []string
	for _, s := range strings.Split(string(b), ";\n") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all, nil
}

// FixedFiles matches the schema files that are no generation's; their names are
// their order.
const FixedFiles = "schema/0*.sql"

// LaterFiles matches the schema files that bring each generation of links up to
// date that an older version made, see [Later]. Their names are their order.
const LaterFiles = "schema/gN_*.sql"

// Later runs one of them for each generation, after the tables as they are now.
func Later(ctx context.Context, q Query, file string, run func(file string, generation int) error) error {
	generations, err := generationsOfLinks(ctx, q)
	if err != nil {
		return err
	}
	for _, generation := range generations {
		if err := run(GenerationFile("links"), generation); err != nil {
			return err
		}
		if err := run(file, generation); err != nil {
			return err
		}
	}
	return nil
}

func generationsOfLinks(ctx context.Context, q Query) ([]int, error) {
	var all []int
	err := q(ctx, `SELECT generation FROM projections WHERE name = 'links' ORDER BY generation`, nil, func(scan func(...any) error) error {
		var generation int
		err := scan(&generation)
		all = append(all, generation)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for generations of links: %w", err)
	}
	return all, nil
}

// GenerationFile is the schema file of a projection's tables; [In] fits its
// statements to a generation.
func GenerationFile(projection string) string { return "schema/" + projection + "_gN.sql" }

// Secondary reports whether a statement makes an index that only readers need;
// a generation gets those when its rows are there.
func Secondary(statement string) bool {
	for _, line := range strings.Split(statement, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			return strings.HasPrefix(line, "CREATE INDEX")
		}
	}
	return false
}

// Of lists the tables of a projection's generation.
func Of(projection string, generation int) []string {
	names := []string{In(generation, projection+"_gN")}
	if projection == "links" {
		names = append(names, In(generation, "link_expiries_gN"), In(generation, "grants_gN"), In(generation, "link_counts_gN"))
	}
	return names
}
