package link_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
)

var (
	id      = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	noon    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	config  = link.Config{Name: "crm", Provider: "custom", ClientID: "id", Scopes: []string{"a"}}
	created = link.Created{Config: config, SecretGeneration: 1, At: noon}
	refused = link.Degraded{Reason: link.ClientRejected, ProviderCode: "invalid_client", At: noon}
)

func changed() link.Config {
	c := config
	c.Scopes = []string{"a", "b"}
	return c
}

// Where a link stands after a history, and what of it counts.
func TestStatus(t *testing.T) {
	for name, tt := range map[string]struct {
		given         []link.Event
		status        link.Status
		trouble       link.Reason
		configVersion uint64
		secret        uint64
	}{
		"nothing":                  {nil, link.StatusAbsent, "", 0, 0},
		"created":                  {[]link.Event{created}, link.StatusActive, "", 1, 1},
		"updated":                  {[]link.Event{created, link.Updated{Config: changed()}}, link.StatusActive, "", 2, 1},
		"degraded":                 {[]link.Event{created, refused}, link.StatusDegraded, link.ClientRejected, 1, 1},
		"recovered":                {[]link.Event{created, refused, link.Recovered{}}, link.StatusActive, "", 1, 1},
		"a new secret is a chance": {[]link.Event{created, refused, link.ClientSecretReplaced{Generation: 2}}, link.StatusActive, "", 2, 2},
		"so is a new configuration": {[]link.Event{created, refused, link.Updated{Config: changed()}},
			link.StatusActive, "", 2, 1},
		"disabled":              {[]link.Event{created, link.Disabled{}}, link.StatusDisabled, "", 1, 1},
		"disabled and degraded": {[]link.Event{created, refused, link.Disabled{}}, link.StatusDisabled, link.ClientRejected, 1, 1},
		"enabled":               {[]link.Event{created, link.Disabled{}, link.Enabled{}}, link.StatusActive, "", 1, 1},
		"deleted":               {[]link.Event{created, link.Disabled{}, link.Deleted{}}, link.StatusDeleted, "", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := link.Fold(tt.given)
			if s.Status() != tt.status || s.Trouble != tt.trouble {
				t.Errorf("%s (%s), want %s (%s)", s.Status(), s.Trouble, tt.status, tt.trouble)
			}
			if s.ConfigVersion != tt.configVersion || s.SecretGeneration != tt.secret || s.Version != uint64(len(tt.given)) {
				t.Errorf("configuration %d, secret %d, version %d", s.ConfigVersion, s.SecretGeneration, s.Version)
			}
		})
	}
}

// What each decision does with a link: an event, nothing left to do, or a refusal.
func TestDecisions(t *testing.T) {
	type decision func(link.State) (link.Event, error)
	create := func(c link.Config) decision {
		return func(s link.State) (link.Event, error) { return s.Create(id, link.Created{Config: c}) }
	}
	update := func(c link.Config) decision {
		return func(s link.State) (link.Event, error) { return s.Update(id, link.Updated{Config: c}) }
	}
	degrade := func(r link.Reason) decision {
		return func(s link.State) (link.Event, error) { return s.Degrade(id, link.Degraded{Reason: r}) }
	}
	replace := func(g uint64) decision {
		return func(s link.State) (link.Event, error) {
			return s.ReplaceClientSecret(id, link.ClientSecretReplaced{Generation: g})
		}
	}
	disable := func(s link.State) (link.Event, error) { return s.Disable(id, link.Disabled{}) }
	enable := func(s link.State) (link.Event, error) { return s.Enable(id, link.Enabled{}) }
	recovered := func(s link.State) (link.Event, error) { return s.Recover(id, link.Recovered{}) }
	remove := func(s link.State) (link.Event, error) { return s.Delete(id, link.Deleted{}) }
	gone := []link.Event{created, link.Deleted{}}
	for name, tt := range map[string]struct {
		given []link.Event
		ask   decision
		event bool
		code  domain.Code
	}{
		"create":                       {nil, create(config), true, ""},
		"create again":                 {[]link.Event{created}, create(config), false, ""},
		"create another under its id":  {[]link.Event{created}, create(changed()), false, domain.AlreadyExists},
		"create what was deleted":      {gone, create(config), false, domain.AlreadyExists},
		"update":                       {[]link.Event{created}, update(changed()), true, ""},
		"update to what it is":         {[]link.Event{created}, update(config), false, ""},
		"update what never was":        {nil, update(config), false, domain.NotFound},
		"update what was deleted":      {gone, update(changed()), false, domain.FailedPrecondition},
		"degrade":                      {[]link.Event{created}, degrade(link.ClientRejected), true, ""},
		"degrade for the same again":   {[]link.Event{created, refused}, degrade(link.ClientRejected), false, ""},
		"degrade for something else":   {[]link.Event{created, refused}, degrade(link.ConfigError), true, ""},
		"recover":                      {[]link.Event{created, refused}, recovered, true, ""},
		"recover what is well":         {[]link.Event{created}, recovered, false, ""},
		"replace the secret":           {[]link.Event{created}, replace(2), true, ""},
		"replace by an older one":      {[]link.Event{created, link.ClientSecretReplaced{Generation: 3}}, replace(2), false, ""},
		"disable":                      {[]link.Event{created}, disable, true, ""},
		"disable twice":                {[]link.Event{created, link.Disabled{}}, disable, false, ""},
		"enable":                       {[]link.Event{created, link.Disabled{}}, enable, true, ""},
		"enable what is enabled":       {[]link.Event{created}, enable, false, ""},
		"delete":                       {[]link.Event{created}, remove, true, ""},
		"delete twice":                 {gone, remove, false, ""},
		"delete what never was":        {nil, remove, false, domain.NotFound},
		"use":                          {[]link.Event{created}, func(s link.State) (link.Event, error) { return nil, s.Usable(id) }, false, ""},
		"use while degraded":           {[]link.Event{created, refused}, func(s link.State) (link.Event, error) { return nil, s.Usable(id) }, false, ""},
		"use what is disabled":         {[]link.Event{created, link.Disabled{}}, func(s link.State) (link.Event, error) { return nil, s.Usable(id) }, false, domain.FailedPrecondition},
		"disable what was deleted":     {gone, disable, false, domain.FailedPrecondition},
		"degrade what was deleted":     {gone, degrade(link.ClientRejected), false, domain.FailedPrecondition},
		"replace a secret of no link":  {nil, replace(1), false, domain.NotFound},
		"recover what was deleted":     {gone, recovered, false, domain.FailedPrecondition},
		"enable what was deleted":      {gone, enable, false, domain.FailedPrecondition},
		"use what was deleted":         {gone, func(s link.State) (link.Event, error) { return nil, s.Usable(id) }, false, domain.FailedPrecondition},
		"use what never was":           {nil, func(s link.State) (link.Event, error) { return nil, s.Usable(id) }, false, domain.NotFound},
		"degrade after it was updated": {[]link.Event{created, refused, link.Updated{Config: changed()}}, degrade(link.ClientRejected), true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := tt.ask(link.Fold(tt.given))
			if (e != nil) != tt.event {
				t.Errorf("decided %T (%v), want an event: %t", e, err, tt.event)
			}
			if (err != nil) != (tt.code != "") || err != nil && domain.CodeOf(err) != tt.code {
				t.Errorf("error %v, want code %q", err, tt.code)
			}
		})
	}
}
