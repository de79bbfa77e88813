package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/catalogue"
	"outlink/projections"
)

var (
	now    = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	linkA  = uuid.MustParse("0192a000-0000-7000-8000-00000000000a")
	grantA = grant.ID(linkA, "default")
)

// world is a read model and the commands on it, in memory.
type world struct {
	projections.Reader // nil: a page that asks for more than the pages should fails

	mu       sync.Mutex
	links    []projections.LinkRow
	grants   []projections.GrantRow
	records  []domain.Record
	sequence uint64
	watchers []chan uint64
	asked    projections.LinkFilter
	created  commands.CreateOutgoingLink
	began    commands.BeginAuthorization
	renewed  commands.RequestRefresh
	wanted   commands.RequestToken
	refused  bool // the provider gives no code for another device
	policy   provider.Policy
	cat      provider.Catalogue
}

func (w *world) Links(_ context.Context, f projections.LinkFilter) ([]projections.LinkRow, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = f
	if f.After == "" && f.Provider == "google" {
		return slices.Clone(w.links), "cursor", nil
	}
	return slices.Clone(w.links), "", nil
}

func (w *world) Link(_ context.Context, id uuid.UUID) (projections.LinkRow, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		if l.Link == id {
			return l, nil
		}
	}
	return projections.LinkRow{}, domain.Errorf(domain.NotFound, "link %s does not exist", id)
}

func (w *world) Grants(_ context.Context, f projections.GrantFilter) ([]projections.GrantRow, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var rows []projections.GrantRow
	for _, g := range w.grants {
		if g.Link == f.Link {
			rows = append(rows, g)
		}
	}
	return rows, "", nil
}

func (w *world) Activity(_ context.Context, f projections.ActivityFilter) ([]domain.Record, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []domain.Record
	for _, r := range slices.Backward(w.records) {
		if r.Link == f.Link && (f.Before == 0 || r.Sequence < f.Before) {
			found = append(found, r)
		}
	}
	return found, nil
}

func (w *world) Positions(context.Context) ([]projections.Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return []projections.Position{{Projection: "links", Sequence: w.sequence}}, nil
}

// change alters the read model and tells who watches.
func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	w.sequence++
	for _, c := range w.watchers {
		select {
		case c <- w.sequence:
		default:
		}
	}
}

func (w *world) changes(context.Context) <-chan uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := make(chan uint64, 1)
	w.watchers = append(w.watchers, c)
	return c
}

func (w *world) CreateOutgoingLink(_ context.Context, c commands.CreateOutgoingLink) (commands.Outcome, error) {
	p, err := w.cat.Get(c.Provider)
	if err != nil {
		return commands.Outcome{}, err
	}
	config := p.Complete(c.Config())
	if err := p.Check(config, !c.ClientSecret.IsZero(), w.policy); err != nil {
		return commands.Outcome{}, err
	}
	if config.Uses(link.AuthorizationCode) {
		if config.RedirectURL, err = p.RedirectURL(w.policy, c.Link, config); err != nil {
			return commands.Outcome{}, err
		}
	}
	w.change(func() {
		w.created = c
		state := link.Evolve(link.State{}, link.Created{Config: config, SecretGeneration: 1, At: now})
		w.links = append(w.links, projections.LinkRow{Link: c.Link, State: state, UpdatedAt: now})
	})
	return commands.Outcome{Link: c.Link, Sequence: w.sequence}, nil
}

func (w *world) BeginAuthorization(_ context.Context, c commands.BeginAuthorization) (commands.Outcome, error) {
	w.began = c
	if c.Device {
		ends := now.Add(15 * time.Minute)
		return commands.Outcome{Link: c.Link, Grant: grantA, Device: &commands.Device{}, ExpiresAt: &ends}, nil
	}
	return commands.Outcome{Link: c.Link, AuthorizationURL: "https://outlink.example.com/oauth/start/" + c.Link.String() + "?ticket=t"}, nil
}

func (w *world) WithDeviceCode(_ context.Context, o commands.Outcome) (commands.Outcome, error) {
	if w.refused {
		return commands.Outcome{}, domain.Errorf(domain.FailedPrecondition, "this authorization is over")
	}
	o.Device = &commands.Device{UserCode: "WDJB-MJHT", VerificationURI: "https://id.example.com/device", VerificationURIComplete: "https://id.example.com/device?user_code=WDJB-MJHT"}
	return o, nil
}

func (w *world) RequestRefresh(_ context.Context, c commands.RequestRefresh) (commands.Outcome, error) {
	w.renewed = c
	return commands.Outcome{Link: c.Link, Sequence: w.sequence}, nil
}

func (w *world) RequestToken(_ context.Context, c commands.RequestToken) (commands.Outcome, error) {
	w.wanted = c
	return commands.Outcome{Link: c.Link, Sequence: w.sequence}, nil
}

func (w *world) DisableLink(_ context.Context, c commands.DisableLink) (commands.Outcome, error) {
	w.change(func() { w.links[0].State = link.Evolve(w.links[0].State, link.Disabled{At: now}) })
	return commands.Outcome{Link: c.Link, Sequence: w.sequence}, nil
}

func (w *world) EnableLink(context.Context, commands.EnableLink) (commands.Outcome, error) {
	return commands.Outcome{}, domain.Errorf(domain.FailedPrecondition, "cannot be enabled")
}

// start serves the pages over a world with one link and two grants.
func start(t *testing.T) (*world, *httptest.Server) {
	t.Helper()
	cat, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{cat: cat, sequence: 7, policy: provider.Policy{PublicURL: "https://outlink.example.com", PublicSuffix: catalogue.PublicSuffix}}
	google, _ := cat.Get("google")
	config := google.Complete(link.Config{Name: "Calendar <sync>", Provider: "google", ClientID: "client-1", Scopes: []string{"calendar.readonly"}})
	config.RedirectURL = "https://outlink.example.com/oauth/callback/" + linkA.String()
	created := link.Created{Config: config, SecretGeneration: 1, At: now.Add(-time.Hour)}
	token := grant.TokenIssued{
		Exchange: uuid.New(), Subject: "default", Cause: grant.ByAuthorization, Generation: 3, ReceivedAt: now.Add(-30 * time.Minute),
		ExpiresAt: now.Add(30 * time.Minute), RefreshAt: now.Add(12 * time.Second), Refreshable: true,
	}
	consent := grant.Fold([]grant.Event{grant.AuthorizationBegun{Subject: "anna"}, grant.AuthorizationFailed{Reason: grant.AuthorizationDenied}})
	w.links = []projections.LinkRow{{
		Link: linkA, Sequence: 7, State: link.Evolve(link.State{}, created), UpdatedAt: now.Add(-5 * time.Minute),
		Grants: projections.GrantCounts{Total: 2, Healthy: 1, Attention: 1}, NextExpiry: now.Add(30 * time.Minute),
	}}
	w.grants = []projections.GrantRow{
		{Link: linkA, Grant: grantA, State: grant.Fold([]grant.Event{token})},
		{Link: linkA, Grant: grant.ID(linkA, "anna"), State: consent},
	}
	data, _ := json.Marshal(created)
	issued, _ := json.Marshal(token)
	w.records = []domain.Record{
		{Sequence: 1, Type: link.Kinds.Type(created), Time: created.At, Actor: "user:anna", Link: linkA, Data: data},
		{Sequence: 7, Type: grant.Kinds.Type(token), Time: token.ReceivedAt, Actor: "node:a1", Link: linkA, Grant: grantA, Data: issued},
	}
	site := &Site{Read: w, Commands: w, Catalogue: cat, Policy: w.policy, Changes: w.changes, Now: func() time.Time { return now }, NewID: uuid.New}
	mux := http.NewServeMux()
	site.Register(mux)
	srv := httptest.NewServer(mux)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	return w, srv
}
