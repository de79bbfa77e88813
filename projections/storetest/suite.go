package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/projections"
)

// Store is everything that a store of the read models offers.
type Store interface {
	projections.Store
	projections.Reader
	projections.Snapshots
	projections.Builder
	At(ctx context.Context, projection string, generation int) (projections.Reader, error)
	Migrate(ctx context.Context) error
}

// Open gives an empty store, without tables, that is closed with the test.
type Open func(t testing.TB) Store

// Run holds a store to the specification.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"rows":                         testRows,
		"an update replaces the row":   testUpdate,
		"rows are kept exactly":        testExact,
		"next expiry among many":       testNextExpiry,
		"next expiry, folded ahead":    testNextExpiryAhead,
		"list of links":                testLinks,
		"pages of links":               testLinkPages,
		"links by their grants":        testLinkHealth,
		"list of grants":               testGrants,
		"pages of grants":              testGrantPages,
		"activity":                     testActivity,
		"due":                          testDue,
		"pages of due":                 testDuePages,
		"not found":                    testNotFound,
		"invalid arguments":            testInvalid,
		"migrate":                      testMigrate,
		"migrate at once":              testMigrateAtOnce,
		"a store without tables":       testUnmigrated,
		"any history":                  testRandom,
		"seen again":                   testSeenAgain,
		"a row never goes back":        testRowNeverGoesBack,
		"checkpoint is a fence":        testFence,
		"two projectors at once":       testTwoProjectors,
		"two projectors meet":          testTwoProjectorsMeet,
		"stopped between batches":      testStoppedBetweenBatches,
		"folded ahead":                 testFoldedAhead,
		"stopped within a transaction": testStoppedWithinTransaction,
		"commit without answer":        testCommitWithoutAnswer,
		"poison":                       testPoison,
		"a newer node is past it":      testNewerNode,
		"a generation is built":        testBuild,
		"a build copies":               testBuildCopies,
		"a build counts":               testBuildCounts,
		"a build is interrupted":       testBuildInterrupted,
		"a past state":                 testPast,
		"switch and drop":              testSwitch,
		"readers during switches":      testReadersDuringSwitches,
		"verify":                       testVerify,
		"verify beside projectors":     testVerifyBesideProjectors,
		"verify finds damage":          testVerifyFinds,
		"verify finds forged rows":     testVerifyForged,
		"an older read model":          testObsolete,
		"expiries in links' rows":      testExpiriesMoved,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// migrated opens a store with its tables.
func migrated(t testing.TB, open Open) Store {
	t.Helper()
	s := open(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal("migrate:", err)
	}
	return s
}

// project follows the log to its end with every projection. A store that fails
// for ever is tried again for a minute.
func project(t testing.TB, s projections.Store, l projections.Feed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, p := range projections.All() {
		if err := errors.Join(engine(p, s, l).Run(ctx), ctx.Err()); err != nil {
			t.Fatalf("project %s: %v", p.Name, err)
		}
	}
}

func engine(p projections.Projection, s projections.Store, l projections.Feed) *projections.Engine {
	return &projections.Engine{
		Projection: p, Feed: l, Store: s, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Backoff: func(int) time.Duration { return time.Microsecond }, Standby: time.Microsecond,
	}
}

// equalToReplay compares all rows with a fold of the log from its beginning.
func equalToReplay(t testing.TB, s Store, records []domain.Record) {
	t.Helper()
	wantLinks, wantGrants, err := projections.Replay(records)
	if err != nil {
		t.Fatal("replay:", err)
	}
	links, grants, err := projections.Dump(t.Context(), s)
	if err != nil {
		t.Fatal("dump:", err)
	}
	if diff := cmp.Diff(wantLinks, links); diff != "" {
		t.Errorf("links differ from a replay (-replay +stored):\n%s", diff)
	}
	if diff := cmp.Diff(wantGrants, grants); diff != "" {
		t.Errorf("grants differ from a replay (-replay +stored):\n%s", diff)
	}
	counts, err := s.LinkCounts(t.Context())
	if err != nil {
		t.Fatal("counts:", err)
	}
	want := map[string]projections.LinkCount{}
	for _, row := range wantLinks {
		status, health := row.State.Status(), row.Grants.Health()
		if status == link.StatusAbsent || status == link.StatusDeleted {
			continue
		}
		key := fmt.Sprint(row.State.Provider, status, health)
		c := want[key]
		want[key] = projections.LinkCount{
			Provider: row.State.Provider, Status: status, Health: health, Links: c.Links + 1, Healthy: c.Healthy + int64(row.Grants.Healthy),
			Retrying: c.Retrying + int64(row.Grants.Retrying), Attention: c.Attention + int64(row.Grants.Attention),
		}
	}
	got := map[string]projections.LinkCount{}
	for _, c := range counts {
		got[fmt.Sprint(c.Provider, c.Status, c.Health)] = c
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts differ from a replay (-replay +stored):\n%s", diff)
	}
}

// positions is where each projection stands.
func positions(t testing.TB, s projections.Reader) map[string]projections.Position {
	t.Helper()
	all, err := s.Positions(t.Context())
	if err != nil {
		t.Fatal("positions:", err)
	}
	m := map[string]projections.Position{}
	for _, p := range all {
		m[p.Projection] = p
	}
	return m
}

func wantCode(t testing.TB, code domain.Code, what string, err error) {
	t.Helper()
	var e *domain.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: error is %v, want code %s", what, err, code)
	}
}

func linkRow(t testing.TB, s projections.Reader, name string) projections.LinkRow {
	t.Helper()
	row, err := s.Link(t.Context(), LinkID(name))
	if err != nil {
		t.Fatalf("link %s: %v", name, err)
	}
	return row
}

func grantRow(t testing.TB, s projections.Reader, path string) projections.GrantRow {
	t.Helper()
	row, err := s.Grant(t.Context(), GrantID(path))
	if err != nil {
		t.Fatalf("grant %s: %v", path, err)
	}
	return row
}

// names are the links of a page, as their events named them.
func names(rows []projections.LinkRow) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row.State.Name)
	}
	return all
}

// subjects are the grants of a page.
func subjects(rows []projections.GrantRow) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row.State.Subject)
	}
	return all
}

// wait is for readers that remember which generation is active, for a second.
func wait(Store) { time.Sleep(1100 * time.Millisecond) }
