package tables

import (
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
		names = append(names, In(generation, "grants_gN"), In(generation, "link_counts_gN"))
	}
	return names
}
