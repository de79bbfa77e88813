package storetest

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/projections"
)

// damaging is a store whose tables a test can change behind its back.
type damaging interface {
	Exec(ctx context.Context, sql string) error
}

func verify(t testing.TB, p projections.Projection, s Store, l projections.Feed) (shards []projections.Shard, found []projections.Difference) {
	t.Helper()
	v := projections.Verification{
		Projection: p, Feed: l, Store: s,
		Differs: func(d projections.Difference) { found = append(found, d) },
	}
	shards, err := v.Run(t.Context(), projections.FirstGeneration, 4)
	if err != nil {
		t.Fatal("verify:", err)
	}
	return shards, found
}

// testVerify: what equals the log is told to, in shards that differ.
func testVerify(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(7, 8)), &Log{Batch: 9}, 200)
	project(t, s, l)
	for _, p := range projections.All() {
		shards, found := verify(t, p, s, l)
		rows, sums := 0, map[string]bool{}
		for _, s := range shards {
			rows += s.Rows
			sums[s.Checksum] = true
		}
		if len(found) != 0 || rows < 4 || len(sums) < 2 {
			t.Errorf("%s: %d rows, checksums %v, differences %+v", p.Name, rows, sums, found)
		}
	}
}

// testVerifyBesideProjectors: rows that moved on while the log was read are no
// differences.
func testVerifyBesideProjectors(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(7, 8)), &Log{Batch: 9}, 100)
	project(t, s, l)
	for _, p := range projections.All() {
		reads := 0
		growing := feed(func(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
			if reads++; reads == 1 { // the checkpoint has been read
				random(rand.New(rand.NewPCG(9, 1)), l, 40)
				project(t, s, l)
			}
			return l.Follow(ctx, after, handle)
		})
		if _, found := verify(t, p, s, growing); len(found) != 0 || reads < 2 {
			t.Errorf("%s: after %d reads of the log %+v", p.Name, reads, found)
		}
	}
}

// feed is a feed made of a function.
type feed func(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error

func (f feed) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	return f(ctx, after, handle)
}

// testVerifyFinds: each kind of damage is found, in documents, in the columns
// beside them, in counts and in the timeline.
func testVerifyFinds(t *testing.T, open Open) {
	for name, tt := range map[string]struct {
		damage string
		finds  int
		in     projections.Projection
	}{
		"a link's provider":    {`UPDATE links_g1 SET provider = 'okta' WHERE sequence = (SELECT max(sequence) FROM links_g1 WHERE status <> '')`, 1, projections.Links},
		"a link's place":       {`UPDATE links_g1 SET changed = 7 WHERE sequence = (SELECT max(sequence) FROM links_g1 WHERE status <> '')`, 1, projections.Links},
		"a link's expiry":      {`UPDATE link_expiries_g1 SET next_expiry = NULL WHERE next_expiry = (SELECT max(next_expiry) FROM link_expiries_g1)`, -1, projections.Links},
		"an expiry's provider": {`UPDATE link_expiries_g1 SET provider = 'okta' WHERE link_id = (SELECT link_id FROM links_g1 WHERE status <> '' ORDER BY link_id LIMIT 1)`, 1, projections.Links},
		"a missing expiry":     {`DELETE FROM link_expiries_g1 WHERE link_id = (SELECT link_id FROM links_g1 ORDER BY link_id LIMIT 1)`, 1, projections.Links},
		"an expiry of no link": {
			`INSERT INTO link_expiries_g1 (link_id, status, provider, health, name_lower) SELECT id, '', '', '', name_lower FROM activity_g1, links_g1
				WHERE activity_g1.sequence = (SELECT max(sequence) FROM activity_g1) AND links_g1.sequence = (SELECT max(sequence) FROM links_g1)`, 1, projections.Links,
		},
		"a grant's due time":    {`UPDATE grants_g1 SET due_at = NULL WHERE due_at IS NOT NULL`, -1, projections.Links},
		"a grant's subject":     {`UPDATE grants_g1 SET subject = (SELECT name_lower FROM links_g1 WHERE status <> '' ORDER BY link_id LIMIT 1)`, -1, projections.Links},
		"a missing grant":       {`DELETE FROM grants_g1 WHERE sequence = (SELECT max(sequence) FROM grants_g1)`, 1, projections.Links},
		"a count":               {`UPDATE link_counts_g1 SET links = links + 1 WHERE provider = 'google'`, 1, projections.Links},
		"a count of grants":     {`UPDATE link_counts_g1 SET healthy = healthy + 1`, 1, projections.Links},
		"a missing event":       {`DELETE FROM activity_g1 WHERE sequence = (SELECT max(sequence) FROM activity_g1)`, 1, projections.Activity},
		"the data of an event":  {`UPDATE activity_g1 SET data = '{}' WHERE sequence = (SELECT max(sequence) FROM activity_g1 WHERE data <> '{}')`, 1, projections.Activity},
		"the time of an event":  {`UPDATE activity_g1 SET nanos = 999 WHERE sequence = (SELECT max(sequence) FROM activity_g1)`, 1, projections.Activity},
		"the type of an event":  {`UPDATE activity_g1 SET type = 'x' WHERE sequence = (SELECT max(sequence) FROM activity_g1)`, 1, projections.Activity},
		"the actor of an event": {`UPDATE activity_g1 SET actor = 'x' WHERE sequence = (SELECT max(sequence) FROM activity_g1)`, 1, projections.Activity},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := migrated(t, open), random(rand.New(rand.NewPCG(7, 8)), &Log{Batch: 9}, 200)
			project(t, s, l)
			if err := s.(damaging).Exec(t.Context(), tt.damage); err != nil {
				t.Fatal(err)
			}
			shards, found := verify(t, tt.in, s, l)
			count := 0
			for _, s := range shards {
				count += s.Differs
			}
			if len(found) == 0 || tt.finds > 0 && len(found) != tt.finds || count != len(found) {
				t.Errorf("%d differences are found, %d counted: %+v", len(found), count, found)
			}
		})
	}
}

// testVerifyForged: a row that was changed through the store, and one that the log
// knows nothing of.
func testVerifyForged(t *testing.T, open Open) {
	s, l := migrated(t, open), random(rand.New(rand.NewPCG(7, 8)), &Log{Batch: 9}, 200)
	project(t, s, l)
	row, err := s.GrantRows(t.Context(), 1, []uuid.UUID{GrantID("link0/s0")})
	if err != nil || len(row) != 1 {
		t.Fatal(err)
	}
	row[0].Sequence, row[0].State.Subject = row[0].Sequence+1, "forged"
	stray := projections.GrantRow{Link: LinkID("nobody"), Grant: GrantID("nobody/x"), Sequence: 1}
	if err := s.Load(t.Context(), projections.Batch{Projection: "links", Generation: 1, Grants: []projections.GrantRow{row[0], stray}}, true); err != nil {
		t.Fatal(err)
	}
	if _, found := verify(t, projections.Links, s, l); len(found) != 2 {
		t.Errorf("of two forged rows %d are found: %+v", len(found), found)
	}
}
