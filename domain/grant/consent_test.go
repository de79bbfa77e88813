package grant_test

import (
	"reflect"
	"testing"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// A token belongs to the consent that it was asked for. What comes after that is
// over, because it was revoked or another one took its place, never counts: neither
// as the current token nor as a fallback.
func TestLateTokens(t *testing.T) {
	a, b, attempt, other := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	begun := func(id uuid.UUID) grant.Event {
		return grant.AuthorizationBegun{Authorization: id, Subject: "s", At: noon}
	}
	used := func(id uuid.UUID) grant.Event { return grant.AuthorizationConsumed{Authorization: id, At: noon} }
	device := grant.AuthorizationBegun{Authorization: a, Subject: "s", Device: true, At: noon}
	code := func(id uuid.UUID, generation uint64) grant.TokenIssued {
		return issued(id, generation, grant.ByAuthorization)
	}
	renewed := func(exchange uuid.UUID, from, generation uint64) grant.TokenIssued {
		e := issued(exchange, generation, grant.ByRefresh)
		e.From = from
		return e
	}
	imported := func(generation uint64, hash string) grant.TokenIssued {
		e := issued(uuid.New(), generation, grant.ByImport)
		e.RefreshTokenHash = hash
		return e
	}
	asked, requested := grant.TokenRequested{GrantType: link.ClientCredentials, At: noon}, issued(attempt, 1, grant.ByRequest)
	requested.From = 0
	first := code(a, 1)
	first.RefreshTokenHash = "first"
	revoked := []grant.Event{grant.Revoked{At: noon}, grant.Erased{At: noon}}
	after := func(more ...[]grant.Event) (all []grant.Event) {
		for _, events := range more {
			all = append(all, events...)
		}
		return all
	}
	open := []grant.Event{begun(a), used(a), first, started(attempt, 1)}
	for name, tt := range map[string]struct {
		given []grant.Event
		token grant.TokenIssued
		code  domain.Code
	}{
		"a code, revoked, begun anew":                 {after([]grant.Event{begun(a), used(a)}, revoked, []grant.Event{begun(b)}), code(a, 1), domain.FailedPrecondition},
		"a code, begun anew":                          {[]grant.Event{begun(a), used(a), begun(b)}, code(a, 1), ""},
		"a code, and then the newer one":              {[]grant.Event{begun(a), used(a), begun(b), used(b), code(a, 1)}, code(b, 2), ""},
		"a code after that of a newer authorization":  {[]grant.Event{begun(a), used(a), begun(b), used(b), code(b, 1)}, code(a, 2), domain.FailedPrecondition},
		"a code that was given up":                    {[]grant.Event{begun(a), used(a), grant.AuthorizationFailed{Authorization: a}}, code(a, 1), ""},
		"a device that was given up":                  {[]grant.Event{device, grant.AuthorizationFailed{Authorization: a}}, code(a, 1), ""},
		"a code that was given up, revoked, begun":    {after([]grant.Event{begun(a), used(a), grant.AuthorizationFailed{Authorization: a}}, revoked, []grant.Event{begun(b)}), code(a, 1), domain.FailedPrecondition},
		"a code that nobody sent":                     {[]grant.Event{begun(a)}, code(a, 1), domain.FailedPrecondition},
		"a device":                                    {[]grant.Event{device}, code(a, 1), ""},
		"a device, begun anew":                        {[]grant.Event{device, begun(b)}, code(a, 1), ""},
		"a device, revoked, begun anew":               {after([]grant.Event{device}, revoked, []grant.Event{begun(b)}), code(a, 1), domain.FailedPrecondition},
		"a refresh":                                   {open, renewed(attempt, 1, 2), ""},
		"a refresh, revoked, begun anew":              {after(open, revoked, []grant.Event{begun(b)}), renewed(attempt, 1, 2), domain.FailedPrecondition},
		"a refresh, revoked, requested by the client": {after(open, revoked, []grant.Event{asked}), renewed(attempt, 1, 2), domain.FailedPrecondition},
		"a refresh, authorized anew, renewed":         {after(open, []grant.Event{begun(b), used(b), code(b, 2), renewed(other, 2, 3)}), renewed(attempt, 1, 4), domain.FailedPrecondition},
		"a refresh, another token imported":           {after(open, []grant.Event{imported(2, "another")}), renewed(attempt, 1, 3), domain.FailedPrecondition},
		"a refresh, its token imported":               {after(open, []grant.Event{imported(2, "first")}), renewed(attempt, 1, 3), ""},
		"a refresh, its token imported twice":         {after(open, []grant.Event{imported(2, "first"), imported(3, "first")}), renewed(attempt, 1, 4), ""},
		"a request":                                   {[]grant.Event{asked, started(attempt, 0)}, requested, ""},
		"a request, revoked, requested anew":          {after([]grant.Event{asked, started(attempt, 0)}, revoked, []grant.Event{asked, started(other, 0)}), requested, domain.FailedPrecondition},
		"a request, revoked, begun by a person":       {after([]grant.Event{asked, started(attempt, 0)}, revoked, []grant.Event{begun(a)}), requested, domain.FailedPrecondition},
	} {
		s := grant.Fold(tt.given)
		e, err := s.RecordToken(id, tt.token)
		if (err != nil) != (tt.code != "") || err != nil && domain.CodeOf(err) != tt.code || (e != nil) != (err == nil) {
			t.Errorf("%s: %T, %v; want %q", name, e, err, tt.code)
		}
		// A read model goes on with what it shows, and shows the same as one from the start.
		if on, whole := grant.Evolve(s.Shown(), tt.token).Shown(), grant.Evolve(s, tt.token).Shown(); !reflect.DeepEqual(on, whole) {
			t.Errorf("%s: shown as %+v, want %+v", name, on, whole)
		}
	}
}

// An import of the token that an attempt has sent leaves the attempt open: it would
// be sent a second time beside it.
func TestImportLeavesTheAttempt(t *testing.T) {
	first, same, another := issued(id, 1, grant.ByAuthorization), issued(other, 2, grant.ByImport), issued(other, 2, grant.ByImport)
	first.RefreshTokenHash, same.RefreshTokenHash, another.RefreshTokenHash = "first", "first", "another"
	attempt := uuid.New()
	for hash, e := range map[string]grant.TokenIssued{"first": same, "another": another} {
		s := grant.Fold([]grant.Event{first, started(attempt, 1), e})
		if open := s.Attempt != nil && s.Attempt.Attempt == attempt; open != (hash == "first") {
			t.Errorf("an import of the %s token: the attempt is open: %v", hash, open)
		}
	}
}

// Whoever has a refresh token sent again names the token that they saw: once it was
// renewed, there is nothing left to do.
func TestResendOfAnOldGeneration(t *testing.T) {
	unread := func(attempt uuid.UUID) grant.Event { return grant.RefreshUnreadable{Attempt: attempt, Problem: "odd"} }
	s := grant.Fold([]grant.Event{issued(other, 1, grant.ByAuthorization), issued(id, 2, grant.ByRefresh), started(other, 2), unread(other)})
	for generation, wanted := range map[uint64]bool{1: false, 2: true} {
		e, err := s.RequestRefresh(id, grant.RefreshRequested{Generation: generation, Resend: true})
		if err != nil || (e != nil) != wanted {
			t.Errorf("generation %d: %v, %v", generation, e, err)
		}
	}
}

// A person authorizes anew a grant whose last answer nobody could read, or was lost, and
// the provider gives the refresh token that the grant had: that is as good as new.
func TestAuthorizedWithTheSameToken(t *testing.T) {
	first, anew := issued(other, 1, grant.ByAuthorization), issued(id, 2, grant.ByAuthorization)
	first.RefreshTokenHash, anew.RefreshTokenHash = "same", "same"
	attempt := uuid.New()
	for _, doubt := range []grant.Event{
		grant.RefreshUnreadable{Attempt: attempt, Problem: "odd"},
		grant.RefreshDeferred{Attempt: attempt, Reason: grant.Ambiguous, RetryAt: noon, At: noon},
	} {
		s := grant.Fold([]grant.Event{first, started(attempt, 1), doubt, begun(), grant.AuthorizationConsumed{Authorization: id}, anew})
		if s.Status() != grant.StatusActive || s.DueAt().IsZero() || s.Crossed {
			t.Errorf("after %T and a new authorization: %s, due %s, crossed %t", doubt, s.Status(), s.DueAt(), s.Crossed)
		}
	}
}
