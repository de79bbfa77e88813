package grant_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/grant"
)

// A wish brings a retry forward, unless waiting is the point.
func TestWishesWait(t *testing.T) {
	retry := at(60)
	wish := grant.RefreshRequested{Generation: 1, At: at(42)}
	for reason, due := range map[grant.DeferReason]time.Time{
		grant.Transient: at(42).Add(time.Second), grant.Ambiguous: at(42).Add(time.Second), grant.NotSent: at(42).Add(time.Second),
		grant.RateLimited: retry, grant.Unconfirmed: retry, grant.LinkTrouble: retry,
	} {
		s := grant.Fold([]grant.Event{
			issued(other, 1, grant.ByAuthorization), started(id, 1), grant.RefreshDeferred{Attempt: id, Reason: reason, RetryAt: retry, At: at(41)}, wish,
		})
		if !s.DueAt().Equal(due) {
			t.Errorf("%s: wished for and due at %s, want %s", reason, s.DueAt(), due)
		}
	}
}

// What says nothing about the grant is no part of the week after which it is
// given up.
func TestFailingIsTheGrantsOwn(t *testing.T) {
	fails := func(reason grant.DeferReason, at time.Time) grant.RefreshDeferred {
		return grant.RefreshDeferred{Attempt: id, Reason: reason, RetryAt: at, At: at}
	}
	week := noon.Add(8 * 24 * time.Hour)
	all := []grant.Event{} // a try every hour
	for at := noon; !at.After(week); at = at.Add(time.Hour) {
		all = append(all, fails(grant.Transient, at))
	}
	for name, tt := range map[string]struct {
		given []grant.Event
		want  time.Duration
	}{
		"a provider that fails":            {all, 8 * 24 * time.Hour},
		"nobody tried for a week":          {[]grant.Event{fails(grant.Transient, noon), fails(grant.Transient, week)}, 0},
		"nothing was sent for a week":      {[]grant.Event{fails(grant.NotSent, noon), fails(grant.NotSent, week), fails(grant.Transient, week)}, 0},
		"its link was in trouble meantime": {[]grant.Event{fails(grant.Transient, noon), fails(grant.LinkTrouble, at(1)), fails(grant.Transient, week)}, 0},
	} {
		s := grant.Fold([]grant.Event{issued(other, 1, grant.ByAuthorization)})
		for _, e := range tt.given {
			s = grant.Evolve(grant.Evolve(s, started(id, 1)), e)
		}
		if got := s.FailingFor(week); got != tt.want {
			t.Errorf("%s: failing for %s, want %s", name, got, tt.want)
		}
	}
}

// A resource server that refuses every token has one renewed at once, and after
// that every half a minute.
func TestRejections(t *testing.T) {
	rejected := func(generation uint64, at time.Time) grant.RefreshRequested {
		return grant.RefreshRequested{Generation: generation, Rejected: true, At: at}
	}
	s := grant.Fold([]grant.Event{issued(other, 1, grant.ByAuthorization), rejected(1, at(1))})
	if !s.DueAt().Equal(at(1)) {
		t.Errorf("the first is due at %s", s.DueAt())
	}
	s = grant.Evolve(grant.Evolve(s, started(id, 1)), issued(id, 2, grant.ByRefresh))
	s = grant.Evolve(s, rejected(2, at(1).Add(2*time.Second)))
	if want := at(1).Add(30 * time.Second); !s.DueAt().Equal(want) {
		t.Errorf("the second is due at %s, want %s", s.DueAt(), want)
	}
	s = grant.Evolve(s, grant.RefreshRequested{Generation: 2, At: at(1).Add(3 * time.Second)})
	if !s.DueAt().Equal(at(1).Add(3 * time.Second)) {
		t.Errorf("a wish of another kind is due at %s", s.DueAt())
	}
}

// An unread answer keeps a grant back until somebody says to ask again.
func TestResend(t *testing.T) {
	s := grant.Fold([]grant.Event{issued(other, 1, grant.ByAuthorization), started(id, 1), grant.RefreshUnreadable{Attempt: id, Problem: "odd"}})
	wish := grant.RefreshRequested{Generation: 1, At: at(50)}
	if e, err := s.RequestRefresh(other, wish); err == nil {
		t.Errorf("asked without resend: %v", e)
	}
	wish.Resend = true
	e, err := s.RequestRefresh(other, wish)
	if err != nil || e == nil {
		t.Fatalf("%v, %v", e, err)
	}
	s = grant.Evolve(s, e)
	if next, err := s.StartRefresh(other, started(other, 1)); err != nil || next == nil || !s.RefreshDue(at(52)) {
		t.Errorf("nothing is asked: %v, %v, due at %s", next, err, s.DueAt())
	}
}

// The late answer to a refresh is an orphan of a new consent, but not of an
// import of the very token that was on its way: its rotated token is the only
// one that works.
func TestOrphans(t *testing.T) {
	first := issued(other, 1, grant.ByAuthorization)
	first.RefreshTokenHash = "a"
	late := issued(id, 3, grant.ByRefresh)
	late.From = 1
	for hash, orphaned := range map[string]bool{"a": false, "b": true} {
		import2 := issued(uuid.New(), 2, grant.ByImport)
		import2.RefreshTokenHash = hash
		s := grant.Fold([]grant.Event{first, started(id, 1), import2})
		if s.Orphaned(late) != orphaned {
			t.Errorf("an import of token %q after %q: orphaned %t", hash, "a", !orphaned)
		}
	}
}

// A refresh token that announces its end is renewed before it, and neither it nor
// a token that lives for a second is renewed ever faster.
func TestBeforeEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		at, end, want time.Time
	}{
		"no end":             {at(1000), time.Time{}, at(1000)},
		"an end far away":    {at(40), at(5000), at(40)},
		"an end before":      {at(1400), at(720), at(360)},
		"an end in a minute": {at(40), noon.Add(time.Minute), noon.Add(30 * time.Second)},
		"an end in seconds":  {at(40), noon.Add(10 * time.Second), noon.Add(30 * time.Second)},
	} {
		if got := grant.BeforeEnd(tt.at, noon, tt.end); !got.Equal(tt.want) {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	if got := grant.RefreshAt(noon, noon.Add(3*time.Second), false, 0); got.Before(noon.Add(2 * time.Second)) {
		t.Errorf("a token of three seconds is renewed after %s", got.Sub(noon))
	}
	if got := grant.RefreshAt(noon, noon, false, 0); got.After(noon) {
		t.Errorf("a token that has ended is renewed after %s", got.Sub(noon))
	}
}
