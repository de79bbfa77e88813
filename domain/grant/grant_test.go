package grant_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
)

var (
	id    = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	other = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8058")
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

func begun() grant.AuthorizationBegun {
	return grant.AuthorizationBegun{Authorization: id, Subject: "default", ConfigVersion: 1, At: noon, ExpiresAt: at(10)}
}

func issued(exchange uuid.UUID, generation uint64, cause grant.Cause) grant.TokenIssued {
	return grant.TokenIssued{
		Exchange: exchange, Subject: "default", Cause: cause, Generation: generation, From: generation - 1,
		ReceivedAt: noon, ExpiresAt: at(60), RefreshAt: at(40), Refreshable: true,
	}
}

func started(attempt uuid.UUID, generation uint64) grant.RefreshStarted {
	return grant.RefreshStarted{Attempt: attempt, Generation: generation, Node: "n", LeaseSeconds: 240, At: at(40)}
}

// Where a grant stands after a history, and when somebody must look at it.
func TestStatusAndDue(t *testing.T) {
	first := issued(other, 1, grant.ByAuthorization)
	bare := first
	bare.Refreshable = false
	deferred := grant.RefreshDeferred{Attempt: id, Reason: grant.Transient, RetryAt: at(41), At: at(40)}
	lost := deferred
	lost.Reason = grant.Ambiguous
	for name, tt := range map[string]struct {
		given  []grant.Event
		status grant.Status
		due    time.Time
	}{
		"nothing":                  {nil, grant.StatusAbsent, time.Time{}},
		"begun":                    {[]grant.Event{begun()}, grant.StatusPending, at(10)},
		"denied":                   {[]grant.Event{begun(), grant.AuthorizationFailed{Authorization: id, Reason: grant.AuthorizationDenied}}, grant.StatusReauthorizationRequired, time.Time{}},
		"active":                   {[]grant.Event{first}, grant.StatusActive, at(40)},
		"without a refresh token":  {[]grant.Event{bare}, grant.StatusActive, at(60)},
		"refreshing":               {[]grant.Event{first, started(id, 1)}, grant.StatusRefreshing, at(44)},
		"retrying":                 {[]grant.Event{first, started(id, 1), deferred}, grant.StatusRetrying, at(41)},
		"uncertain":                {[]grant.Event{first, started(id, 1), lost}, grant.StatusUncertain, at(41)},
		"unreadable":               {[]grant.Event{first, started(id, 1), grant.RefreshUnreadable{Attempt: id, Problem: "odd"}}, grant.StatusUncertain, time.Time{}},
		"renewed":                  {[]grant.Event{first, started(id, 1), deferred, started(id, 1), issued(id, 2, grant.ByRefresh)}, grant.StatusActive, at(40)},
		"wanted now":               {[]grant.Event{first, grant.RefreshRequested{Generation: 1, At: at(5)}}, grant.StatusActive, at(5)},
		"consent needed":           {[]grant.Event{first, started(id, 1), grant.ReauthorizationRequired{Attempt: id, Reason: grant.GrantInvalid}}, grant.StatusReauthorizationRequired, time.Time{}},
		"consent given again":      {[]grant.Event{first, started(id, 1), grant.ReauthorizationRequired{Attempt: id}, begun(), issued(id, 2, grant.ByAuthorization)}, grant.StatusActive, at(40)},
		"denied, token still good": {[]grant.Event{first, begun(), grant.AuthorizationFailed{Authorization: id, Reason: grant.AuthorizationDenied}}, grant.StatusActive, at(40)},
		"authorizing anew":         {[]grant.Event{first, begun()}, grant.StatusActive, at(10)},
		"suspended":                {[]grant.Event{first, grant.Suspended{}}, grant.StatusSuspended, time.Time{}},
		"resumed":                  {[]grant.Event{first, grant.Suspended{}, grant.Resumed{}}, grant.StatusActive, at(40)},
		"renewed while suspended":  {[]grant.Event{first, started(id, 1), grant.Suspended{}, issued(id, 2, grant.ByRefresh)}, grant.StatusSuspended, time.Time{}},
		"revoked":                  {[]grant.Event{first, grant.Revoked{}}, grant.StatusRevoked, time.Time{}},
		"authorized after erasure": {[]grant.Event{first, grant.Revoked{}, grant.Erased{}, begun()}, grant.StatusPending, at(10)},
	} {
		t.Run(name, func(t *testing.T) {
			s := grant.Fold(tt.given)
			if s.Status() != tt.status || !s.DueAt().Equal(tt.due) {
				t.Errorf("%s, due %s; want %s, due %s", s.Status(), s.DueAt(), tt.status, tt.due)
			}
			if s.Version != uint64(len(tt.given)) {
				t.Errorf("version %d after %d events", s.Version, len(tt.given))
			}
		})
	}
	retrying := grant.Fold([]grant.Event{first, started(id, 1), deferred})
	if got := retrying.StatusAt(at(61)); got != grant.StatusStale {
		t.Errorf("retrying past the token's end is %s, want stale", got)
	}
}

// What each decision does with a grant: an event, nothing left to do, or a refusal.
func TestDecisions(t *testing.T) {
	first, renewed := issued(other, 1, grant.ByAuthorization), issued(id, 2, grant.ByRefresh)
	consume := func(minute int, config uint64) func(grant.State) (grant.Event, error) {
		return func(s grant.State) (grant.Event, error) {
			return s.ConsumeAuthorization(grant.AuthorizationConsumed{Authorization: id, At: at(minute)}, config)
		}
	}
	record := func(e grant.TokenIssued) func(grant.State) (grant.Event, error) {
		return func(s grant.State) (grant.Event, error) { return s.RecordToken(id, e) }
	}
	start := func(e grant.RefreshStarted) func(grant.State) (grant.Event, error) {
		return func(s grant.State) (grant.Event, error) { return s.StartRefresh(id, e) }
	}
	takeover := started(id, 1)
	takeover.TakeoverOf = other
	older := issued(id, 3, grant.ByRefresh)
	older.From, older.ReceivedAt = 1, at(-1)
	for name, tt := range map[string]struct {
		given []grant.Event
		ask   func(grant.State) (grant.Event, error)
		event bool
		code  domain.Code
	}{
		"consume in time":               {[]grant.Event{begun()}, consume(5, 1), true, ""},
		"consume twice":                 {[]grant.Event{begun(), grant.AuthorizationConsumed{Authorization: id}}, consume(5, 1), false, domain.FailedPrecondition},
		"consume too late":              {[]grant.Event{begun()}, consume(10, 1), false, domain.FailedPrecondition},
		"consume after a change":        {[]grant.Event{begun()}, consume(5, 2), false, domain.FailedPrecondition},
		"consume what was never begun":  {nil, consume(5, 1), false, domain.FailedPrecondition},
		"first token":                   {[]grant.Event{begun(), grant.AuthorizationConsumed{Authorization: id}}, record(issued(id, 1, grant.ByAuthorization)), true, ""},
		"the same exchange again":       {[]grant.Event{first}, record(issued(other, 2, grant.ByAuthorization)), false, ""},
		"generation does not follow":    {[]grant.Event{first}, record(issued(id, 5, grant.ByRefresh)), false, domain.Conflict},
		"no exchange":                   {nil, record(issued(uuid.Nil, 1, grant.ByImport)), false, domain.InvalidArgument},
		"late answer, authorized anew":  {[]grant.Event{first, issued(uuid.New(), 2, grant.ByAuthorization)}, record(grant.TokenIssued{Exchange: id, Cause: grant.ByRefresh, From: 1, Generation: 3, ReceivedAt: at(1)}), false, domain.FailedPrecondition},
		"older answer than the current": {[]grant.Event{first, renewed}, record(func() grant.TokenIssued { older.Exchange = uuid.New(); return older }()), false, domain.FailedPrecondition},
		"token after revocation":        {[]grant.Event{first, grant.Revoked{}}, record(issued(id, 2, grant.ByRefresh)), false, domain.FailedPrecondition},
		"import while being erased":     {[]grant.Event{first, grant.Revoked{}}, record(issued(id, 2, grant.ByImport)), false, domain.Unavailable},
		"import after erasure":          {[]grant.Event{first, grant.Revoked{}, grant.Erased{}}, record(issued(id, 2, grant.ByImport)), true, ""},
		"start a refresh":               {[]grant.Event{first}, start(started(id, 1)), true, ""},
		"start beside an open one":      {[]grant.Event{first, started(other, 1)}, start(started(id, 1)), false, ""},
		"take over the open one":        {[]grant.Event{first, started(other, 1)}, start(takeover), true, ""},
		"take over what has ended":      {[]grant.Event{first}, start(takeover), false, ""},
		"start for an old generation":   {[]grant.Event{first, renewed}, start(started(id, 1)), false, ""},
		"start when consent is needed":  {[]grant.Event{first, started(id, 1), grant.ReauthorizationRequired{Attempt: id, Reason: grant.GrantInvalid}}, start(started(other, 1)), false, domain.ReauthorizationRequired},
		"start when suspended":          {[]grant.Event{first, grant.Suspended{}}, start(started(id, 1)), false, domain.FailedPrecondition},
		"defer an attempt that is over": {[]grant.Event{first, started(other, 1)}, func(s grant.State) (grant.Event, error) { return s.DeferRefresh(grant.RefreshDeferred{Attempt: id}) }, false, ""},
		"a dead attempt asks for consent": {[]grant.Event{first, started(other, 1)}, func(s grant.State) (grant.Event, error) {
			return s.RequireReauthorization(grant.ReauthorizationRequired{Attempt: id})
		}, false, ""},
		"request for a renewed generation": {[]grant.Event{first, renewed}, func(s grant.State) (grant.Event, error) {
			return s.RequestRefresh(id, grant.RefreshRequested{Generation: 1})
		}, false, ""},
		"request for a generation to come": {[]grant.Event{first, renewed}, func(s grant.State) (grant.Event, error) {
			return s.RequestRefresh(id, grant.RefreshRequested{Generation: 3, Rejected: true})
		}, false, domain.InvalidArgument},
		"authorize while being erased": {[]grant.Event{first, grant.Revoked{}}, func(s grant.State) (grant.Event, error) { return s.BeginAuthorization(id, begun()) }, false, domain.Unavailable},
		"revoke twice":                 {[]grant.Event{first, grant.Revoked{}}, func(s grant.State) (grant.Event, error) { return s.Revoke(id, grant.Revoked{}) }, false, ""},
		"revoke what never was":        {nil, func(s grant.State) (grant.Event, error) { return s.Revoke(id, grant.Revoked{}) }, false, domain.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := tt.ask(grant.Fold(tt.given))
			if (e != nil) != tt.event {
				t.Errorf("decided %T (%v), want an event: %t", e, err, tt.event)
			}
			if (err != nil) != (tt.code != "") || err != nil && domain.CodeOf(err) != tt.code {
				t.Errorf("error %v, want code %q", err, tt.code)
			}
		})
	}
}

// When tokens of a lifetime are renewed, at both ends of the spread.
func TestRefreshAt(t *testing.T) {
	for name, tt := range map[string]struct {
		life             time.Duration
		ends             bool
		latest, earliest time.Duration // before the end
	}{
		"five seconds":                  {5 * time.Second, false, 2500 * time.Millisecond, 2750 * time.Millisecond},
		"a minute":                      {time.Minute, false, 30 * time.Second, 33 * time.Second},
		"two minutes":                   {2 * time.Minute, false, 36 * time.Second, 54 * time.Second},
		"an hour":                       {time.Hour, false, 18 * time.Minute, 27 * time.Minute},
		"a day":                         {24 * time.Hour, false, 30 * time.Minute, 45 * time.Minute},
		"an hour, old one ends at once": {time.Hour, true, 3 * time.Minute, 270 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			end := noon.Add(tt.life)
			if got := end.Sub(grant.RefreshAt(noon, end, tt.ends, 0)); got != tt.latest {
				t.Errorf("latest %s before the end, want %s", got, tt.latest)
			}
			if got := end.Sub(grant.RefreshAt(noon, end, tt.ends, 1)); got != tt.earliest {
				t.Errorf("earliest %s before the end, want %s", got, tt.earliest)
			}
		})
	}
}
