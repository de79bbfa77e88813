package sqlite_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"outlink/projections/sqlite"
	"outlink/projections/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Store {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "read model?.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error("close:", err)
			}
		})
		return s
	})
}
