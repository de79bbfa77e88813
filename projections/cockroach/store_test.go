package cockroach_test

import (
	"os"
	"testing"

	"github.com/cockroachdb/cockroach-go/v2/testserver"
	"go.uber.org/goleak"

	"outlink/internal/testenv/database"
	"outlink/projections/cockroach"
	"outlink/projections/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestStoreOnPostgres runs the suite where CockroachDB is stood in for. It is no
// evidence for what only CockroachDB does: retries at any statement, DDL that
// commits, its plans.
func TestStoreOnPostgres(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Store { return open(t, database.New(t)) })
}

// TestStoreCopies runs it with every batch of events going the way of large ones.
func TestStoreCopies(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Store { return open(t, database.New(t)).CopyAll() })
}

func TestStoreOnCockroachDB(t *testing.T) {
	if os.Getenv("COCKROACH_BINARY") == "" {
		t.Skip("not run on CockroachDB: COCKROACH_BINARY names no binary")
	}
	server, err := testserver.NewTestServer()
	if err != nil {
		t.Fatal("start CockroachDB:", err)
	}
	t.Cleanup(server.Stop)
	storetest.Run(t, func(t testing.TB) storetest.Store {
		return open(t, database.On(t, server.PGURL().String()))
	})
}

func open(t testing.TB, url string) *cockroach.Store {
	t.Helper()
	s, err := cockroach.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
