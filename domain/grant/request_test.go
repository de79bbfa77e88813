package grant_test

import (
	"testing"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// What becomes of a wish that the client itself requests the grant's tokens.
func TestRequestToken(t *testing.T) {
	wish := grant.TokenRequested{Subject: "default", GrantType: link.ClientCredentials, At: noon}
	refused := grant.ReauthorizationRequired{Attempt: id, Reason: grant.GrantInvalid, At: noon}
	for name, tt := range map[string]struct {
		given  []grant.Event
		wanted bool
		code   domain.Code
	}{
		"a new grant":                {nil, true, ""},
		"again":                      {[]grant.Event{wish}, false, ""},
		"again, with a token":        {[]grant.Event{wish, issued(other, 1, grant.ByRequest)}, false, ""},
		"a refused one":              {[]grant.Event{wish, started(id, 0), refused}, true, ""},
		"a person is at it":          {[]grant.Event{begun()}, true, ""},
		"a person's":                 {[]grant.Event{issued(other, 1, grant.ByAuthorization)}, false, domain.FailedPrecondition},
		"suspended":                  {[]grant.Event{wish, grant.Suspended{}}, false, domain.FailedPrecondition},
		"revoked, not yet erased":    {[]grant.Event{wish, grant.Revoked{}}, false, domain.Unavailable},
		"revoked and erased":         {[]grant.Event{wish, grant.Revoked{}, grant.Erased{}}, true, ""},
		"a person took it over":      {[]grant.Event{wish, begun(), issued(id, 1, grant.ByAuthorization)}, false, domain.FailedPrecondition},
		"another system's came over": {[]grant.Event{wish, issued(id, 1, grant.ByImport)}, false, domain.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := grant.Fold(tt.given).RequestToken(id, wish)
			if (e != nil) != tt.wanted || err != nil && domain.CodeOf(err) != tt.code || (err != nil) != (tt.code != "") {
				t.Errorf("got %v, %v", e, err)
			}
		})
	}
}

// A grant whose tokens the client itself requests is due at once, retried without
// being uncertain, and renewed without a refresh token.
func TestRequestedGrant(t *testing.T) {
	wish := grant.TokenRequested{Subject: "default", GrantType: link.ClientCredentials, At: noon}
	deferred := grant.RefreshDeferred{Attempt: id, Reason: grant.Transient, RetryAt: at(41), At: at(40)}
	takeover := started(other, 0)
	takeover.TakeoverOf = id
	for name, tt := range map[string]struct {
		given  []grant.Event
		status grant.Status
		due    int
	}{
		"requested":  {[]grant.Event{wish}, grant.StatusPending, 0},
		"sent":       {[]grant.Event{wish, started(id, 0)}, grant.StatusRefreshing, 44},
		"failed":     {[]grant.Event{wish, started(id, 0), deferred}, grant.StatusRetrying, 41},
		"taken over": {[]grant.Event{wish, started(id, 0), takeover, grant.RefreshDeferred{Attempt: other, Reason: grant.Transient, RetryAt: at(50)}}, grant.StatusRetrying, 50},
		"issued":     {[]grant.Event{wish, started(id, 0), issued(id, 1, grant.ByRequest)}, grant.StatusActive, 40},
	} {
		t.Run(name, func(t *testing.T) {
			s := grant.Fold(tt.given)
			if s.Status() != tt.status || !s.DueAt().Equal(at(tt.due)) {
				t.Errorf("%s, due %s", s.Status(), s.DueAt())
			}
			if _, err := s.RequestRefresh(id, grant.RefreshRequested{Generation: s.Generation}); err != nil {
				t.Errorf("a refresh is refused: %v", err)
			}
		})
	}
	overtaken := grant.Fold([]grant.Event{wish, started(id, 0), begun(), issued(begun().Authorization, 1, grant.ByAuthorization)})
	if late := issued(uuid.New(), 2, grant.ByRequest); !overtaken.Orphaned(late) {
		t.Error("a late answer replaces a person's consent")
	}
}
