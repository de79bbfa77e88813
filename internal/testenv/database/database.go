// Package database gives tests databases on a PostgreSQL of their own, or on a
// server that they are told of.
//
// It stands apart from the rest of testenv, so that the tests of a store need
// nothing of the nodes that use it. The server ends with the test process, even
// when that is killed.
package database

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// ServerURL is the environment variable that names a server to use instead of
// one of the tests' own: PostgreSQL or CockroachDB, with the right to create
// databases.
const ServerURL = "OUTLINK_TEST_DATABASE_URL"

// New returns the URL of a new, empty database, dropped with the test. Its
// transactions are serializable unless they say otherwise. Without a PostgreSQL
// installed, the test is skipped with a line that says so, and fails where
// CI=true.
func New(t testing.TB) string {
	t.Helper()
	server := os.Getenv(ServerURL)
	if server == "" {
		var err error
		server, err = cluster()
		if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
			t.Skipf("not run on PostgreSQL: %v", err)
		}
		if err != nil {
			t.Fatalf("start PostgreSQL: %v", err)
		}
	}
	return On(t, server)
}

// On creates a database on a server, PostgreSQL or CockroachDB, and returns its
// URL. It is dropped with the test, whoever is still connected.
func On(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("parse the URL of the database server: %v", err)
	}
	name := "outlink_" + strings.ToLower(rand.Text())
	if _, err := execute(t.Context(), server, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		version, err := execute(context.Background(), server, "SELECT version()")
		drop := "DROP DATABASE " + name + " WITH (FORCE)"
		if strings.Contains(version, "CockroachDB") {
			drop = "DROP DATABASE " + name + " CASCADE"
		}
		if _, err2 := execute(context.Background(), server, drop); err != nil || err2 != nil {
			t.Errorf("drop database %s: %v", name, errors.Join(err, err2))
		}
	})
	u.Path = "/" + name
	return u.String()
}

// execute runs one statement, and returns its first value if it has one.
func execute(ctx context.Context, url, sql string) (first string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(&first)
	}
	rows.Close()
	return first, errors.Join(err, rows.Err())
}

var errNotInstalled = errors.New("initdb is neither in PATH nor in /usr/lib/postgresql/*/bin; install postgresql")

// cluster starts the one server of this process.
var cluster = sync.OnceValues(func() (string, error) {
	dir, err := newCluster("-h ''", nil)
	return "postgres://postgres@/postgres?sslmode=disable&host=" + url.QueryEscape(dir), err
})

// lifelines are open as long as this process lives. The script that keeps a
// server reads from its other end, and cleans up when that ends.
var lifelines []io.WriteCloser

// keeper starts a server in the directory $1 with the binaries in $2 and the
// options in $3, says so, and waits for the end of its input. It tries to get a collation that is not
// the order of bytes, so that nothing comes to depend on that order.
const keeper = `
set -eu
trap '"$2/pg_ctl" -D "$1/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$1"/* && rmdir "$1" || true' EXIT
trap '' INT HUP TERM
"$2/initdb" --no-sync -A trust -U postgres -E UTF8 --locale-provider=icu --icu-locale=en-US -D "$1/data" >"$1/initdb.log" 2>&1 ||
"$2/initdb" --no-sync -A trust -U postgres -E UTF8 -D "$1/data" >"$1/initdb.log" 2>&1 || { cat "$1/initdb.log"; exit 1; }
! test -f "$1/pg_hba.conf" || cp "$1/pg_hba.conf" "$1/data/pg_hba.conf"
"$2/pg_ctl" -D "$1/data" -l "$1/log" -w -o "-k $1 $3 -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
-c max_connections=200 -c default_transaction_isolation=serializable -c log_min_messages=fatal" start >/dev/null || { cat "$1/log"; exit 1; }
echo ready
read -r _ || true
`

// newCluster starts a server in a directory of its own, in which it finds the
// files.
func newCluster(options string, files map[string][]byte) (dir string, err error) {
	bin, err := postgresBinaries()
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp(shortTemp(), "outlink-pg-"); err != nil {
		return "", err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	command := []string{"sh", "-c", keeper, "keeper", dir, bin, options}
	if os.Geteuid() == 0 { // the server refuses to be root
		if command, err = asPostgres(dir, files, command); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err := keep(dir, command); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// keep starts the keeper and waits until it is ready.
func keep(dir string, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal ends the tests, and these the server
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lifelines = append(lifelines, in)
	said := bufio.NewScanner(out)
	if said.Scan() && said.Text() == "ready" {
		return nil
	}
	why := []string{said.Text()}
	for said.Scan() {
		why = append(why, said.Text())
	}
	_ = in.Close()
	return fmt.Errorf("%w: %s", cmd.Wait(), strings.Join(why, "\n"))
}

// postgresBinaries is the directory of the newest server installed.
func postgresBinaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	if len(found) == 0 {
		return "", errNotInstalled
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// asPostgres lets a command run as the user postgres, who gets the directory and
// the files in it.
func asPostgres(dir string, files map[string][]byte, command []string) ([]string, error) {
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w, with its user: %w", errNotInstalled, err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	err = errors.Join(err1, err2, os.Chown(dir, uid, gid))
	for name := range files {
		err = errors.Join(err, os.Chown(filepath.Join(dir, name), uid, gid))
	}
	if err != nil {
		return nil, err
	}
	if path, err := exec.LookPath("setpriv"); err == nil {
		return append([]string{path, "--reuid", u.Uid, "--regid", u.Gid, "--clear-groups"}, command...), nil
	}
	return append([]string{"runuser", "-u", "postgres", "--"}, command...), nil
}

// shortTemp is a directory for temporary files whose name leaves room for that
// of a socket, which may have 107 bytes.
func shortTemp() string {
	if dir := os.TempDir(); len(dir) < 60 {
		return dir
	}
	return "/tmp"
}
