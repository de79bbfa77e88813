package grant_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/grant"
)

// What a history tells of its attempts.
func TestTries(t *testing.T) {
	third := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8059")
	takeover := started(other, 1)
	takeover.TakeoverOf = id
	deferred := grant.RefreshDeferred{Attempt: id, Reason: grant.Ambiguous, Requests: 2, Unknown: 2, HTTPStatus: 503, ProviderCode: "server_error"}
	first := issued(third, 1, grant.ByAuthorization)
	for name, tt := range map[string]struct {
		given []grant.Event
		want  []grant.Outcome
		late  []bool
	}{
		"none":              {[]grant.Event{first}, nil, nil},
		"open":              {[]grant.Event{first, started(id, 1)}, []grant.Outcome{grant.OutcomeOpen}, []bool{false}},
		"issued":            {[]grant.Event{first, started(id, 1), issued(id, 2, grant.ByRefresh)}, []grant.Outcome{grant.OutcomeIssued}, []bool{false}},
		"deferred, issued":  {[]grant.Event{first, started(id, 1), deferred, started(other, 1), issued(other, 2, grant.ByRefresh)}, []grant.Outcome{grant.OutcomeDeferred, grant.OutcomeIssued}, []bool{false, false}},
		"taken over":        {[]grant.Event{first, started(id, 1), takeover}, []grant.Outcome{grant.OutcomeTakenOver, grant.OutcomeOpen}, []bool{false, false}},
		"late":              {[]grant.Event{first, started(id, 1), takeover, issued(id, 2, grant.ByRefresh)}, []grant.Outcome{grant.OutcomeIssued, grant.OutcomeEnded}, []bool{true, false}},
		"fallback":          {[]grant.Event{first, started(id, 1), takeover, issued(other, 2, grant.ByRefresh), grant.FallbackKept{Attempt: id, Generation: 2}}, []grant.Outcome{grant.OutcomeFallback, grant.OutcomeIssued}, []bool{true, false}},
		"unreadable":        {[]grant.Event{first, started(id, 1), grant.RefreshUnreadable{Attempt: id, Problem: "odd"}}, []grant.Outcome{grant.OutcomeUnreadable}, []bool{false}},
		"consent needed":    {[]grant.Event{first, started(id, 1), grant.ReauthorizationRequired{Attempt: id, Reason: grant.LostResponse}}, []grant.Outcome{grant.OutcomeReauthorize}, []bool{false}},
		"authorized anew":   {[]grant.Event{first, started(id, 1), issued(other, 2, grant.ByAuthorization)}, []grant.Outcome{grant.OutcomeEnded}, []bool{false}},
		"revoked meanwhile": {[]grant.Event{first, started(id, 1), grant.Revoked{}}, []grant.Outcome{grant.OutcomeEnded}, []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			history := make([]grant.Past, 0, len(tt.given))
			for i, e := range tt.given {
				history = append(history, grant.Past{Sequence: uint64(i + 1), At: at(i), Event: e})
			}
			tries := grant.Tries(history)
			if len(tries) != len(tt.want) {
				t.Fatalf("%+v", tries)
			}
			for i, got := range tries {
				if got.Outcome != tt.want[i] || got.Late != tt.late[i] || (got.Outcome == grant.OutcomeOpen) != got.EndedAt.IsZero() {
					t.Errorf("try %d: %+v, want %s, late: %t", i, got, tt.want[i], tt.late[i])
				}
				if got.Outcome == grant.OutcomeDeferred && (got.Reason != "ambiguous" || got.Requests != 2 || got.Unknown != 2 || got.HTTPStatus != 503) {
					t.Errorf("try %d: %+v", i, got)
				}
			}
		})
	}
}

// An end of the refresh token that refreshes do not move is the consent's, and
// people are told of it 14, 3 and 1 days before; one warning makes up for missed ones.
func TestWarnings(t *testing.T) {
	const day = 24 * time.Hour
	end := noon.Add(90 * day)
	before := issued(other, 1, grant.ByAuthorization)
	before.RefreshTokenExpiresAt = end
	for name, tt := range map[string]struct {
		received, endsAt time.Time
		fixed            bool
	}{
		"stays":      {noon.Add(10 * day), end, true},
		"moves":      {noon.Add(10 * day), end.Add(10 * day), false},
		"moves some": {noon.Add(10 * day), end.Add(4 * day), true},
		"none":       {noon.Add(10 * day), time.Time{}, false},
	} {
		if got := grant.ConsentEnds(&before, tt.received, tt.endsAt); got.IsZero() == tt.fixed {
			t.Errorf("%s: the consent ends at %s", name, got)
		}
	}
	current := issued(id, 2, grant.ByRefresh)
	current.ConsentEndsAt, current.RefreshAt = end, end.Add(-2*time.Hour)
	s := grant.Fold([]grant.Event{before, current})
	for _, step := range []struct {
		left time.Duration
		days int // 0: nobody is told
	}{{20 * day, 0}, {14 * day, 14}, {13 * day, 0}, {4 * day, 0}, {3 * day, 3}, {2 * day, 0}, {day, 1}, {12 * time.Hour, 0}} {
		e, err := s.Warn(end.Add(-step.left))
		if err != nil || (e != nil) != (step.days > 0) {
			t.Fatalf("%s before the end: %v, %v", step.left, e, err)
		}
		if e == nil {
			continue
		}
		if e.(grant.ReauthorizationDueSoon).Days != step.days {
			t.Errorf("%s before the end: %+v", step.left, e)
		}
		if due := s.DueAt(); due.After(end.Add(-step.left)) {
			t.Errorf("%s before the end the grant is due only at %s", step.left, due)
		}
		s = grant.Evolve(s, e)
	}
	missed := grant.Fold([]grant.Event{before, current})
	e, _ := missed.Warn(end.Add(-2 * day))
	if e == nil || e.(grant.ReauthorizationDueSoon).Days != 3 {
		t.Errorf("two days before the end, never told: %+v", e)
	}
	if again, _ := grant.Evolve(missed, e).Warn(end.Add(-2 * day)); again != nil {
		t.Errorf("told twice: %+v", again)
	}
}
