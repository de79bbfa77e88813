package testenv

import (
	"testing"

	"outlink/internal/testenv/database"
)

// Postgres returns the URL of a new, empty database; see [database.New].
func Postgres(t testing.TB) string {
	t.Helper()
	return database.New(t)
}
