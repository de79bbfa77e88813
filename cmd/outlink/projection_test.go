package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Rebuild, verify, switch, drop and a past state, through the real binary, while
// a grant renews itself every second.
func TestProjections(t *testing.T) {
	dir := t.TempDir()
	d := startDev(t, dir)
	database := "sqlite:" + filepath.Join(dir, "outlink.db")
	d.renewed(2)
	do := func(code int, says, args string) string {
		t.Helper()
		out, got := d.cli(append(strings.Fields(args), "--database", database)...)
		if got != code || !strings.Contains(out, says) {
			t.Fatalf("outlink %s: exit %d, want %d with %q:\n%s", args, got, code, says, out)
		}
		return out
	}
	do(0, "links", "projection rebuild links --dry-run")
	do(0, "generation 2 of links is ready", "projection rebuild links activity")
	d.renewed(3) // projectors follow the new generation
	list := do(0, "retired", "projection ls")
	if strings.Count(list, " active ") != 2 {
		t.Errorf("generations:\n%s", list)
	}
	do(0, "links", "projection verify")
	do(3, "no generation 88", "projection verify --generation 88")
	do(0, "use generation 1", "projection switch links 1")
	do(0, "use generation 2", "projection switch links 2")
	do(4, "repeat it with --yes", "projection drop links 1")
	do(4, "the active one", "projection drop links 2 --yes")
	do(0, "is gone", "projection drop links 1 --yes")
	elsewhere := filepath.Join(t.TempDir(), "nothing.db")
	if out, code := d.cli("projection", "ls", "--database", "sqlite:"+elsewhere); code != 2 || !strings.Contains(out, "no read model at sqlite:"+elsewhere) {
		t.Errorf("the list of a read model that is not there, exit %d:\n%s", code, out)
	}
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("asking for the list made a database")
	}
	do(2, "takes a projection", "projection switch links")
	do(2, "takes a projection", "projection rebuild")
	do(2, "no projection", "projection rebuild nonsense")
	do(2, "neither a sequence nor a time", "projection rebuild links --until yesterday")
	do(0, "generation 3 of links is ready", "projection rebuild links --until 3 --label early")
	if list := do(0, "early", "projection ls"); !strings.Contains(list, " past ") {
		t.Errorf("a past state that is there:\n%s", list)
	}
	do(2, "a sequence up to", "projection rebuild links --until 999999")
	do(4, "past state", "projection switch links 3")
	out, code := d.cli("link", "ls", "--generation", "3")
	if code != 0 || strings.Count(out, " active ") != 1 { // of three links, one was made by then
		t.Errorf("the past list, exit %d:\n%s", code, out)
	}
	tamper(t, filepath.Join(dir, "outlink.db"))
	do(1, "2 rows differ from the log", "projection verify") // the link, and the counts of links by provider
	d.interrupt()
}

func tamper(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	result, err := db.ExecContext(t.Context(), `UPDATE links_g2 SET doc = replace(doc, '"google"', '"forged"') WHERE provider = 'google'`)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := result.RowsAffected(); n != 1 {
		t.Fatal(fmt.Sprint(n, " rows were changed"))
	}
}
