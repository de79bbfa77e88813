package sqlite

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
	"outlink/projections/tables"
)

// TestEveryPageIsARange: each question is answered by a range of the index that
// was made for it, whatever the planner knows about the tables.
func TestEveryPageIsARange(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "plans.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, id := t.Context(), uuid.New()
	const (
		change = "eyJzIjo5OX0"                                                            // a sequence
		moment = "eyJzIjo5OSwiaSI6IjAxOWFiNGEwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMCJ9"   // a time and an id
		word   = "eyJrIjoiYSIsImkiOiIwMTlhYjRhMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAifQ" // a name and an id
	)
	links := func(f projections.LinkFilter) func(*tables.Reader) error {
		return func(r *tables.Reader) error { _, _, err := r.Links(ctx, f); return err }
	}
	grants := func(f projections.GrantFilter) func(*tables.Reader) error {
		f.Link = id
		return func(r *tables.Reader) error { _, _, err := r.Grants(ctx, f); return err }
	}
	activity := func(f projections.ActivityFilter) func(*tables.Reader) error {
		f.Link = id
		return func(r *tables.Reader) error { _, err := r.Activity(ctx, f); return err }
	}
	due := func(f projections.DueFilter) func(*tables.Reader) error {
		return func(r *tables.Reader) error { _, _, err := r.Due(ctx, f); return err }
	}
	for _, tt := range []struct {
		ask  func(*tables.Reader) error
		want string
	}{
		{links(projections.LinkFilter{}), "links_g1_status (status=?)"},
		{links(projections.LinkFilter{After: change}), "links_g1_status (status=? AND changed<?)"},
		{links(projections.LinkFilter{Status: link.StatusActive, After: change}), "links_g1_status (status=? AND changed<?)"},
		{links(projections.LinkFilter{Provider: "google"}), "links_g1_provider (provider=? AND status=?)"},
		{links(projections.LinkFilter{Provider: "google", Status: link.StatusDeleted, After: change}), "links_g1_provider (provider=? AND status=? AND changed<?)"},
		{links(projections.LinkFilter{Health: projections.HealthAttention, After: change}), "links_g1_health (health=? AND status=? AND changed<?)"},
		{links(projections.LinkFilter{Expiring: time.Now()}), "link_expiries_g1_status (status=? AND next_expiry<?)"},
		{links(projections.LinkFilter{Expiring: time.Now(), After: moment}), "link_expiries_g1_status (status=? AND (next_expiry,link_id)>(?,?) AND next_expiry<?)"},
		{links(projections.LinkFilter{Expiring: time.Now(), Text: "a"}), "links_g1_name (status=? AND name_lower>? AND name_lower<?)"},
		{links(projections.LinkFilter{Expiring: time.Now(), Provider: "google"}), "link_expiries_g1_provider (provider=? AND status=? AND next_expiry<?)"},
		{links(projections.LinkFilter{Text: "a"}), "links_g1_name (status=? AND name_lower>? AND name_lower<?)"},
		{links(projections.LinkFilter{Text: "a", After: word}), "links_g1_name (status=? AND (name_lower,link_id)>(?,?) AND name_lower<?)"},
		{links(projections.LinkFilter{Text: "a", Provider: "google"}), "links_g1_provider_name (provider=? AND status=? AND name_lower>? AND name_lower<?)"},
		{links(projections.LinkFilter{Name: "a"}), "links_g1_name (status=? AND name_lower=?)"},
		{links(projections.LinkFilter{Name: "a", Provider: "google"}), "links_g1_provider_name (provider=? AND status=? AND name_lower=?)"},
		{grants(projections.GrantFilter{}), "grants_g1_subject (link_id=?)"},
		{grants(projections.GrantFilter{After: word}), "grants_g1_subject (link_id=? AND (subject,grant_id)>(?,?))"},
		{grants(projections.GrantFilter{Status: grant.StatusActive}), "grants_g1_status (link_id=? AND status=?)"},
		{grants(projections.GrantFilter{Status: grant.StatusActive, After: word}), "grants_g1_status (link_id=? AND status=? AND (subject,grant_id)>(?,?))"},
		{activity(projections.ActivityFilter{Before: 99}), "activity_g1_link (link_id=? AND sequence<?)"},
		{activity(projections.ActivityFilter{Grant: id, Before: 99}), "activity_g1_grant (link_id=? AND grant_id=? AND sequence<?)"},
		{due(projections.DueFilter{Before: time.Now()}), "grants_g1_due (due_at<?)"},
		{due(projections.DueFilter{Before: time.Now(), After: moment}), "grants_g1_due ((due_at,grant_id)>(?,?) AND due_at<?)"},
	} {
		plan, err := plan(s, tt.ask)
		if err != nil {
			t.Error(err)
		}
		for _, step := range plan {
			if strings.Contains(step, "_g1") && !byPrimaryKey(step) && !strings.HasSuffix(strings.Replace(step, "COVERING ", "", 1), " USING INDEX "+tt.want) {
				t.Errorf("the plan is %q\n\twant a range of %s", plan, tt.want)
			}
		}
		if len(plan) == 0 {
			t.Errorf("nothing was asked that uses %s", tt.want)
		}
	}
}

// byPrimaryKey is how the other half of a link's row is found.
func byPrimaryKey(step string) bool {
	return strings.HasSuffix(step, " USING PRIMARY KEY (link_id=?)") || strings.HasSuffix(step, " USING INDEX sqlite_autoindex_links_g1_1 (link_id=?)")
}

// plan is what SQLite would do to answer a question.
func plan(s *Store, ask func(*tables.Reader) error) (steps []string, err error) {
	err = ask(tables.NewReader(func(ctx context.Context, sql string, args []any, each func(func(...any) error) error) error {
		if strings.Contains(sql, "FROM projections") {
			return s.query(ctx, sql, args, each)
		}
		return s.query(ctx, "EXPLAIN QUERY PLAN "+sql, args, func(scan func(...any) error) error {
			var id, parent, unused int
			var step string
			err := scan(&id, &parent, &unused, &step)
			steps = append(steps, step)
			return err
		})
	}))
	return steps, err
}
