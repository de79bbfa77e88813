package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
)

type counts = projections.GrantCounts

// testRows: given these events, the link and the grant "crm/ann" have these rows.
func testRows(t *testing.T, open Open) {
	whole, single := &Log{Batch: 500}, &Log{Batch: 1}
	stores := map[*Log]Store{whole: migrated(t, open), single: migrated(t, open)}
	const never = time.Duration(0)
	healthy := counts{Total: 1, Healthy: 1}
	quiet := map[string]int{"refresh started": 1, "revoked and erased": 1, "token renewed": 1, "the earlier is renewed": 1} // so many last events of the grant do not change the counts
	for name, tt := range map[string]struct {
		given  func(l *Log)
		link   link.Status
		counts counts
		expiry time.Duration // next expiry of the link, after noon
		grant  grant.Status
		due    time.Duration // of the grant, after noon
	}{
		"created":               {func(*Log) {}, link.StatusActive, counts{}, never, "", never},
		"disabled":              {func(l *Log) { l.Link("crm", link.Disabled{}) }, link.StatusDisabled, counts{}, never, "", never},
		"disabled and enabled":  {func(l *Log) { l.Link("crm", link.Disabled{}).Link("crm", link.Enabled{}) }, link.StatusActive, counts{}, never, "", never},
		"degraded":              {func(l *Log) { l.Link("crm", link.Degraded{Reason: link.ClientRejected}) }, link.StatusDegraded, counts{}, never, "", never},
		"deleted":               {func(l *Log) { l.Link("crm", link.Deleted{}) }, link.StatusDeleted, counts{}, never, "", never},
		"authorization begun":   {func(l *Log) { l.Grant("crm/ann", begun("ann")) }, link.StatusActive, counts{Total: 1, Pending: 1}, never, grant.StatusPending, 10 * time.Minute},
		"token issued":          {func(l *Log) { authorized(l) }, link.StatusActive, healthy, time.Hour, grant.StatusActive, 55 * time.Minute},
		"token renewed":         {func(l *Log) { authorized(l).Grant("crm/ann", issued("ann", 2, 2*time.Hour)) }, link.StatusActive, healthy, 2 * time.Hour, grant.StatusActive, 115 * time.Minute},
		"refresh started":       {func(l *Log) { authorized(l).Grant("crm/ann", started(1)) }, link.StatusActive, healthy, time.Hour, grant.StatusRefreshing, 31 * time.Minute},
		"refresh deferred":      {func(l *Log) { failed(l, grant.Transient) }, link.StatusActive, counts{Total: 1, Retrying: 1}, time.Hour, grant.StatusRetrying, 40 * time.Minute},
		"outcome unknown":       {func(l *Log) { failed(l, grant.Ambiguous) }, link.StatusActive, counts{Total: 1, Retrying: 1}, time.Hour, grant.StatusUncertain, 40 * time.Minute},
		"recovered":             {func(l *Log) { failed(l, grant.Transient).Grant("crm/ann", issued("ann", 2, 2*time.Hour)) }, link.StatusActive, healthy, 2 * time.Hour, grant.StatusActive, 115 * time.Minute},
		"consent needed":        {func(l *Log) { authorized(l).Grant("crm/ann", dead) }, link.StatusActive, counts{Total: 1, Attention: 1}, never, grant.StatusReauthorizationRequired, never},
		"suspended":             {func(l *Log) { authorized(l).Grant("crm/ann", grant.Suspended{}) }, link.StatusActive, counts{Total: 1, Suspended: 1}, never, grant.StatusSuspended, never},
		"suspended and resumed": {func(l *Log) { authorized(l).Grant("crm/ann", grant.Suspended{}).Grant("crm/ann", grant.Resumed{}) }, link.StatusActive, healthy, time.Hour, grant.StatusActive, 55 * time.Minute},
		"revoked":               {func(l *Log) { authorized(l).Grant("crm/ann", grant.Revoked{}) }, link.StatusActive, counts{}, never, grant.StatusRevoked, never},
		"revoked and erased":    {func(l *Log) { authorized(l).Grant("crm/ann", grant.Revoked{}).Grant("crm/ann", grant.Erased{}) }, link.StatusActive, counts{}, never, grant.StatusRevoked, never},
		"authorized anew": {func(l *Log) {
			authorized(l).Grant("crm/ann", grant.Revoked{}).Grant("crm/ann", grant.Erased{}).Grant("crm/ann", begun("ann"))
		}, link.StatusActive, counts{Total: 1, Pending: 1}, never, grant.StatusPending, 10 * time.Minute},
		"the earlier of two": {func(l *Log) { authorized(l).Grant("crm/bob", issued("bob", 1, time.Minute)) },
			link.StatusActive, counts{Total: 2, Healthy: 2}, time.Minute, grant.StatusActive, 55 * time.Minute},
		"the earlier is renewed": {func(l *Log) {
			authorized(l).Grant("crm/bob", issued("bob", 1, time.Minute)).Grant("crm/bob", issued("bob", 2, 3*time.Hour))
		}, link.StatusActive, counts{Total: 2, Healthy: 2}, time.Hour, grant.StatusActive, 55 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			for l, s := range stores {
				l.Scope = name + " "
				l.Link("crm", created("CRM", "google"))
				tt.given(l)
				project(t, s, l)

				row := linkRow(t, s, l.Scope+"crm")
				if got := row.State.Status(); got != tt.link {
					t.Errorf("link is %q, want %q", got, tt.link)
				}
				if diff := cmp.Diff(tt.counts, row.Grants); diff != "" {
					t.Errorf("counts (-want +got):\n%s", diff)
				}
				wantAfterNoon(t, "next expiry", row.NextExpiry, tt.expiry)
				if shown := l.Records[len(l.Records)-1-quiet[name]].Sequence; row.Sequence != shown {
					t.Errorf("link's sequence is %d, want %d", row.Sequence, shown)
				}
				if tt.grant != "" {
					g := grantRow(t, s, l.Scope+"crm/ann")
					if got := g.State.Status(); got != tt.grant {
						t.Errorf("grant is %q, want %q", got, tt.grant)
					}
					wantAfterNoon(t, "due", g.State.DueAt(), tt.due)
				}
				equalToReplay(t, s, l.Records)
			}
		})
	}
}

var dead = grant.ReauthorizationRequired{Attempt: numbered("attempt", 1), Reason: grant.GrantInvalid}

// authorized gives crm/ann a token that ends an hour after noon.
func authorized(l *Log) *Log {
	return l.Grant("crm/ann", begun("ann")).Grant("crm/ann", issued("ann", 1, time.Hour))
}

// failed lets an attempt to renew it fail.
func failed(l *Log, why grant.DeferReason) *Log {
	return authorized(l).Grant("crm/ann", started(1)).Grant("crm/ann", deferred(1, why))
}

func wantAfterNoon(t testing.TB, what string, got time.Time, want time.Duration) {
	t.Helper()
	if want == 0 && !got.IsZero() || want != 0 && !got.Equal(Noon.Add(want)) {
		t.Errorf("%s is %v, want %v after noon", what, got, want)
	}
}

// testUpdate: what lists filter on follows the row.
func testUpdate(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("Old", "google"))
	project(t, s, l)
	config := created("New", "microsoft").Config
	l.Link("crm", link.Updated{Config: config}).Link("crm", link.Degraded{Reason: link.ScopeRejected})
	project(t, s, l)

	for _, f := range []projections.LinkFilter{{Text: "ol"}, {Name: "old"}, {Provider: "google"}, {Status: link.StatusActive}} {
		if rows, _, err := s.Links(t.Context(), f); err != nil || len(rows) != 0 {
			t.Errorf("%+v still finds %v, error %v", f, names(rows), err)
		}
	}
	for _, f := range []projections.LinkFilter{{Text: "ne"}, {Name: "NEW"}, {Provider: "microsoft"}, {Status: link.StatusDegraded}} {
		if rows, _, err := s.Links(t.Context(), f); err != nil || len(rows) != 1 {
			t.Errorf("%+v finds %v, error %v", f, names(rows), err)
		}
	}
}

// testExact: names in any script, NUL, times to the nanosecond, and an event's id
// that is all zeros, come back.
func testExact(t *testing.T, open Open) {
	s := migrated(t, open)
	config := created(`Ünï "quoted" \u0000 \\u0000 日本`, "google")
	config.At = Noon.Add(123456789 * time.Nanosecond)
	config.AuthorizationParams = map[string]string{"prompt": "consent", "a": "1e400"}
	token := issued("ünï 日本", 1, time.Hour+time.Nanosecond)
	token.Scopes = nil
	l := new(Log).Link("crm", config).Grant("crm/ünï 日本", token)
	l.Records[1].ID = uuid.Nil
	project(t, s, l)
	equalToReplay(t, s, l.Records)

	l.Link("nul", created("N\x00UL", "a\x00b")).Grant("nul/x\x00y", issued("x\x00y", 1, time.Hour))
	project(t, s, l)
	if row := linkRow(t, s, "nul"); row.Grants.Total != 1 {
		t.Errorf("a link with NUL in its name has the row %+v", row)
	}
	for _, f := range []projections.LinkFilter{{Text: "n\x00u"}, {Name: "N\x00ul"}, {Provider: "a\x00b"}} {
		if rows, _, err := s.Links(t.Context(), f); err != nil || len(rows) != 1 {
			t.Errorf("%+v finds %d links, error %v", f, len(rows), err)
		}
	}
	if rows, _, err := s.Links(t.Context(), projections.LinkFilter{Provider: "\xff", Text: "\xff"}); err != nil || len(rows) != 0 {
		t.Errorf("what is no text finds %d links, error %v", len(rows), err)
	}
}

// testNextExpiry: whatever becomes of one of many grants, the link knows the
// earliest end among them.
func testNextExpiry(t *testing.T, open Open) {
	s, l := migrated(t, open), new(Log).Link("crm", created("CRM", "google"))
	for i, subject := range []string{"a", "b", "c", "d"} {
		l.Grant("crm/"+subject, issued(subject, 1, time.Duration(i+1)*time.Hour))
	}
	for _, step := range []struct {
		what string
		do   func()
		want time.Duration
	}{
		{"four grants", func() {}, time.Hour},
		{"the first is renewed", func() { l.Grant("crm/a", issued("a", 2, 9*time.Hour)) }, 2 * time.Hour},
		{"the second is revoked", func() { l.Grant("crm/b", grant.Revoked{}) }, 3 * time.Hour},
		{"the last is touched", func() { l.Grant("crm/d", started(1)) }, 3 * time.Hour},
		{"two end together", func() { l.Grant("crm/d", issued("d", 2, 3*time.Hour)) }, 3 * time.Hour},
		{"one of them is suspended", func() { l.Grant("crm/c", grant.Suspended{}) }, 3 * time.Hour},
		{"and the other", func() { l.Grant("crm/d", grant.Suspended{}) }, 9 * time.Hour},
		{"and resumed", func() { l.Grant("crm/d", grant.Resumed{}) }, 3 * time.Hour},
		{"all but one at once", func() { l.Grant("crm/a", grant.Revoked{}).Grant("crm/d", grant.Revoked{}) }, 0},
		{"the one is resumed", func() { l.Grant("crm/c", grant.Resumed{}) }, 3 * time.Hour},
	} {
		step.do()
		project(t, s, l)
		wantAfterNoon(t, step.what+": next expiry", linkRow(t, s, "crm").NextExpiry, step.want)
		equalToReplay(t, s, l.Records)
	}
}

// testNextExpiryAhead: the same when the store does not have the last batch yet, while
// the next one asks for the earliest end.
func testNextExpiryAhead(t *testing.T, open Open) {
	for what, tt := range map[string]struct {
		of   string // another grant than the first
		last grant.Event
		want time.Duration
	}{
		"the second is renewed":     {"b", issued("b", 2, 9*time.Hour), 3 * time.Hour},
		"the third ends earlier":    {"c", issued("c", 2, 90*time.Minute), 90 * time.Minute},
		"the second is revoked":     {"b", grant.Revoked{}, 3 * time.Hour},
		"the second is but touched": {"b", started(1), 2 * time.Hour},
	} {
		t.Run(what, func(t *testing.T) {
			s, l := migrated(t, open), (&Log{Batch: 1}).Link("crm", created("CRM", "google"))
			for i, subject := range []string{"a", "b", "c"} {
				l.Grant("crm/"+subject, issued(subject, 1, time.Duration(i+1)*time.Hour))
			}
			project(t, s, l)
			l.Grant("crm/"+tt.of, tt.last).Grant("crm/a", grant.Suspended{})
			project(t, slow(s), l)
			wantAfterNoon(t, "next expiry", linkRow(t, s, "crm").NextExpiry, tt.want)
			equalToReplay(t, s, l.Records)
		})
	}
}

// slow is a store that takes its time before it stores something.
func slow(s Store) Store {
	return applying{s, func(ctx context.Context, apply func(context.Context) error) error {
		time.Sleep(10 * time.Millisecond)
		return apply(ctx)
	}}
}
