package cockroach_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"outlink/projections/cockroach"
)

// refused are words that CockroachDB or PostgreSQL does not understand, or
// understands to our harm.
var refused = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	// CockroachDB has no such statement, function, column or type.
	`MERGE`, `LISTEN`, `NOTIFY`, `EXCLUDE`, `RULE`, `VACUUM`, `LOCK\s+TABLE`, `TABLESAMPLE`, `BRIN`, `CLUSTER`, `PARTITION\s+OF`,
	`PARTITION\s+BY`, `ON\s+COMMIT`, `pg_\w*advisory\w*`, `ctid`, `xmin`, `DEFERRABLE`,
	// Numbers out of it are no sequence, and all new rows meet in one range.
	`SMALLSERIAL`, `SERIAL`, `BIGSERIAL`, `IDENTITY`,
	// A collation in an index, or a temporary table, works differently in both.
	`COLLATE`, `TEMP`, `TEMPORARY`,
	// PostgreSQL does not know it, and CockroachDB's misses a row given twice.
	`UPSERT`,
	// Pages are found by their last row: an offset reads all the rows before it.
	`OFFSET`,
}, `|`) + `)\b|(?i)SELECT\s+\*|(?i)\bJSONB?\[\]`)

var (
	isSQL = regexp.MustCompile(`(?i)\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE (UNIQUE )?(TABLE|INDEX|VIEW)|ORDER BY|WHERE|AND|FROM)\b`)
	isDDL = regexp.MustCompile(`(?i)^\s*(--[^\n]*\n\s*)*(CREATE|ALTER|DROP)\b`)
	isDML = regexp.MustCompile(`(?im)^\s*(INSERT|UPDATE|DELETE|SELECT)\b`)
)

// TestDialect reads every SQL file and every Go string of the store.
func TestDialect(t *testing.T) {
	files, _ := filepath.Glob("schema/*.sql")
	if len(files) != 11 {
		t.Errorf("%d schema files", len(files))
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if word := refused.FindString(string(b)); word != "" {
			t.Errorf("%s: %q is not in the dialect of both servers", file, word)
		}
		if isDDL.Match(b) && isDML.Match(b) {
			t.Errorf("%s: DDL and DML do not belong in one file: CockroachDB commits before DDL", file)
		}
	}
	read := 0
	for _, pattern := range []string{"*.go", "../tables/*.go"} {
		sources, _ := filepath.Glob(pattern)
		for _, source := range sources {
			if !strings.HasSuffix(source, "_test.go") {
				read += checkStrings(t, source)
			}
		}
	}
	if read < 20 {
		t.Errorf("only %d pieces of SQL were found", read)
	}
}

// checkStrings checks the SQL among a file's strings, and counts it.
func checkStrings(t *testing.T, source string) (read int) {
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			s, err := strconv.Unquote(literal.Value)
			if err == nil && isSQL.MatchString(s) {
				read++
				if word := refused.FindString(s); word != "" {
					t.Errorf("%s: %q is not in the dialect of both servers, in %q", source, word, s)
				}
			}
		}
		return true
	})
	return read
}

// TestRefused: the list finds what it is there to find.
func TestRefused(t *testing.T) {
	for _, sql := range []string{
		"id BIGSERIAL", "SELECT pg_try_advisory_lock(1)", "select * from t", "x TEXT COLLATE \"C\"", "$1::jsonb[]", "LOCK  TABLE t",
	} {
		if !refused.MatchString(sql) {
			t.Errorf("%q is let through", sql)
		}
	}
	for _, sql := range []string{"SELECT excluded.sequence, next_offsets FROM listed", "count(*)"} {
		if refused.MatchString(sql) {
			t.Errorf("%q is refused for %q", sql, refused.FindString(sql))
		}
	}
}

// TestJSONB: NUL alone is replaced, whatever stands before it.
func TestJSONB(t *testing.T) {
	for given, want := range map[string]string{
		"plain":                 "plain",
		"\x00":                  "\uFFFD",
		"a\x00b\x00":            "a\uFFFDb\uFFFD",
		`\u0000`:                `\u0000`,
		`\` + "\x00":            `\` + "\uFFFD",
		`\\` + "\x00" + `\u000`: `\\` + "\uFFFD" + `\u000`,
		`"` + "\n\x00\\":        `"` + "\n\uFFFD\\",
	} {
		doc, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := json.Unmarshal(cockroach.JSONB(doc), &got); err != nil || got != want {
			t.Errorf("%q became %q, want %q, error %v", given, got, want, err)
		}
	}
}
