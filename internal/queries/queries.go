// Package queries answers what dashboards, people and programs ask: one table
// of questions behind the NATS and the HTTP door.
//
// It reads the read model and changes nothing. A question may carry the sequence
// of a command's outcome and is then answered by a read model that has seen it.
package queries

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/projections"
)

// Service answers queries. All fields are required.
type Service struct {
	Read      projections.Reader
	At        func(ctx context.Context, projection string, generation int) (projections.Reader, error)             // a generation that is not the active one
	Last      func(ctx context.Context) (uint64, error)                                                            // sequence of the last event of a link or grant: projections see no others
	Past      func(ctx context.Context, link uuid.UUID, at time.Time, version uint64) (projections.LinkRow, error) // a link with its grants as the log has it
	Changed   func() <-chan struct{}                                                                               // closed when the read model advances
	Catalogue provider.Catalogue
	Policy    provider.Policy
	Now       func() time.Time
}

type handler func(ctx context.Context, s *Service, body []byte) (any, error)

// query is one entry of the table: how it is answered, and what question and
// answer look like.
type query struct {
	run              handler
	question, answer any
}

var handlers = map[string]query{
	"ListProviders":    answer((*Service).ListProviders),
	"RedirectURL":      answer((*Service).RedirectURL),
	"ListLinks":        answer((*Service).ListLinks),
	"ShowLink":         answer((*Service).ShowLink),
	"ListGrants":       answer((*Service).ListGrants),
	"ShowGrant":        answer((*Service).ShowGrant),
	"ExplainGrant":     answer((*Service).ExplainGrant),
	"CountLinks":       answer((*Service).CountLinks),
	"ListEvents":       answer((*Service).ListEvents),
	"ProjectionStatus": answer((*Service).ProjectionStatus),
}

// Names lists the queries.
func Names() []string { return slices.Sorted(maps.Keys(handlers)) }

// Zero is an empty question and its empty answer, for whoever describes them.
func Zero(name string) (question, answer any) { return handlers[name].question, handlers[name].answer }

// Run decodes a query and answers it.
func (s *Service) Run(ctx context.Context, name string, body []byte) (any, error) {
	q, ok := handlers[name]
	if !ok {
		return nil, domain.Errorf(domain.InvalidArgument, "unknown query; the queries are %s", strings.Join(Names(), ", "))
	}
	return q.run(ctx, s, body)
}

func answer[Q, A any](run func(*Service, context.Context, Q) (A, error)) query {
	return query{question: *new(Q), answer: *new(A), run: func(ctx context.Context, s *Service, body []byte) (any, error) {
		var q Q
		if len(body) > 0 && string(body) != "null" { // as a client in Go asks that has nothing to say
			if err := domain.Strictly(body, &q); err != nil {
				return nil, domain.Errorf(domain.InvalidArgument, "the query is not readable: %s", domain.Unreadable(err))
			}
		}
		return run(s, ctx, q)
	}}
}

// ListProviders lists the catalogue.
type ListProviders struct{}

// ProviderList is the catalogue.
type ProviderList struct {
	Providers []provider.Provider `json:"providers"`
}

// ListProviders runs the query.
func (s *Service) ListProviders(context.Context, ListProviders) (ProviderList, error) {
	return ProviderList{s.Catalogue.All()}, nil
}

// RedirectURL asks what redirect URL a link would get.
type RedirectURL struct {
	Provider              string    `json:"provider"`
	Link                  uuid.UUID `json:"link_id,omitzero"`
	AuthorizationEndpoint string    `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string    `json:"token_endpoint,omitempty"`
}

// RedirectURLAnswer has the redirect URL of a link to be.
type RedirectURLAnswer struct {
	Link        uuid.UUID `json:"link_id"` // give it as link_id when creating the link
	RedirectURL string    `json:"redirect_url"`
}

// RedirectURL makes a link id where none is given: the URL is the link's own
// (RFC 9700 section 2.1), so it is not known before the id.
func (s *Service) RedirectURL(_ context.Context, q RedirectURL) (RedirectURLAnswer, error) {
	p, err := s.Catalogue.Get(q.Provider)
	if err != nil {
		return RedirectURLAnswer{}, err
	}
	if q.Link == uuid.Nil {
		q.Link = uuid.Must(uuid.NewV7())
	}
	config := p.Complete(link.Config{Provider: q.Provider, AuthorizationEndpoint: q.AuthorizationEndpoint, TokenEndpoint: q.TokenEndpoint})
	url, err := p.RedirectURL(s.Policy, q.Link, config)
	return RedirectURLAnswer{Link: q.Link, RedirectURL: url}, err
}

// ListLinks asks for the links list: newest change first; by name where a text is
// given; by the end of their tokens where expiring_within is. Deleted links are
// listed where their status is asked for.
type ListLinks struct {
	Freshness
	Provider string      `json:"provider,omitempty"`
	Status   link.Status `json:"status,omitempty"`
	Text     string      `json:"text,omitempty"` // prefix of the name
	After    string      `json:"after,omitempty"`
	Limit    int         `json:"limit,omitempty"`

	Health         projections.Health `json:"health,omitempty"`
	ExpiringWithin string             `json:"expiring_within,omitempty"` // a duration such as 24h: earliest first

	Generation int `json:"generation,omitempty"` // of the projection; 0: the active one
}

// LinkList is a page of the links list.
type LinkList struct {
	Staleness
	Links []LinkView `json:"links"`
	Next  string     `json:"next,omitempty"` // give it as after for the next page
}

// ListLinks runs the query.
func (s *Service) ListLinks(ctx context.Context, q ListLinks) (LinkList, error) {
	stale, err := s.Wait(ctx, q.Freshness, projections.Links.Name)
	if err != nil {
		return LinkList{}, err
	}
	read := s.Read
	if q.Generation != 0 {
		if read, err = s.At(ctx, projections.Links.Name, q.Generation); err != nil {
			return LinkList{}, err
		}
	}
	f := projections.LinkFilter{Provider: q.Provider, Status: q.Status, Text: q.Text, Health: q.Health, After: q.After, Limit: q.Limit}
	if q.ExpiringWithin != "" {
		within, err := time.ParseDuration(q.ExpiringWithin)
		if err != nil || within < 0 {
			return LinkList{}, domain.Errorf(domain.InvalidArgument, "expiring_within %q is no duration from now on, such as 24h", q.ExpiringWithin)
		}
		f.Expiring = s.Now().Add(within)
	}
	rows, next, err := read.Links(ctx, f)
	list := LinkList{Links: []LinkView{}, Next: next, Staleness: stale}
	for _, r := range rows {
		list.Links = append(list.Links, ViewLink(r))
	}
	return list, err
}

// CountLinks asks how many links there are, by provider, status and health.
type CountLinks struct{ Freshness }

// LinkCounts are the counts; deleted links are not among them.
type LinkCounts struct {
	Staleness
	Total  int64                   `json:"total"`
	Counts []projections.LinkCount `json:"counts"`
}

// CountLinks runs the query.
func (s *Service) CountLinks(ctx context.Context, q CountLinks) (LinkCounts, error) {
	stale, err := s.Wait(ctx, q.Freshness, projections.Links.Name)
	if err != nil {
		return LinkCounts{}, err
	}
	all := LinkCounts{Counts: []projections.LinkCount{}, Staleness: stale}
	counts, err := s.Read.LinkCounts(ctx)
	for _, c := range counts {
		all.Total += c.Links
		all.Counts = append(all.Counts, c)
	}
	return all, err
}

// ShowLink asks for one link, by its id or its name, as it is or as it was.
type ShowLink struct {
	Freshness
	Link    string    `json:"link"`
	At      time.Time `json:"at,omitzero"`       // as it was then, from the log
	Version uint64    `json:"version,omitempty"` // as it was when it had this version, from the log
}

// ShowLink runs the query.
func (s *Service) ShowLink(ctx context.Context, q ShowLink) (LinkView, error) {
	if q.Link == "" {
		return LinkView{}, domain.Errorf(domain.InvalidArgument, "link is missing; give a link's id or name")
	}
	if !q.At.IsZero() && q.Version > 0 {
		return LinkView{}, domain.Errorf(domain.InvalidArgument, "at and version are both given; give one of them")
	}
	now, err := s.present(ctx, q)
	if err != nil || q.At.IsZero() && q.Version == 0 {
		return now, err
	}
	row, err := s.Past(ctx, now.Link, q.At, q.Version)
	return ViewLink(row), err
}

// present is the link as the read model has it.
func (s *Service) present(ctx context.Context, q ShowLink) (LinkView, error) {
	stale, err := s.Wait(ctx, q.Freshness, projections.Links.Name)
	if err != nil {
		return LinkView{}, err
	}
	if id, err := uuid.Parse(q.Link); err == nil {
		row, err := s.Read.Link(ctx, id)
		return stale.link(row), err
	}
	rows, _, err := s.Read.Links(ctx, projections.LinkFilter{Name: q.Link, Limit: 1})
	if err != nil {
		return LinkView{}, err
	}
	if len(rows) == 0 {
		return LinkView{}, domain.Errorf(domain.NotFound, "there is no link with the name or id %q; list them: outlink link ls", q.Link)
	}
	return stale.link(rows[0]), nil
}

// ListGrants asks for a link's grants.
type ListGrants struct {
	Freshness
	Link   uuid.UUID    `json:"link_id"`
	Status grant.Status `json:"status,omitempty"`
	After  string       `json:"after,omitempty"`
	Limit  int          `json:"limit,omitempty"`
}

// GrantList is a page of a link's grants.
type GrantList struct {
	Staleness
	Grants []GrantView `json:"grants"`
	Next   string      `json:"next,omitempty"`
}

// ListGrants runs the query.
func (s *Service) ListGrants(ctx context.Context, q ListGrants) (GrantList, error) {
	if err := domain.Given("link_id", q.Link); err != nil {
		return GrantList{}, err
	}
	stale, err := s.Wait(ctx, q.Freshness, projections.Links.Name)
	if err != nil {
		return GrantList{}, err
	}
	rows, next, err := s.Read.Grants(ctx, projections.GrantFilter{Link: q.Link, Status: q.Status, After: q.After, Limit: q.Limit})
	if err == nil && len(rows) == 0 {
		_, err = s.Read.Link(ctx, q.Link) // a link without grants is not a link that there is not
	}
	list := GrantList{Grants: []GrantView{}, Next: next, Staleness: stale}
	for _, r := range rows {
		list.Grants = append(list.Grants, viewGrant(r, s.Now()))
	}
	return list, err
}

// ShowGrant asks for one grant.
type ShowGrant struct {
	Freshness
	Grant uuid.UUID `json:"grant_id"`
}

// ShowGrant runs the query.
func (s *Service) ShowGrant(ctx context.Context, q ShowGrant) (GrantView, error) {
	if err := domain.Given("grant_id", q.Grant); err != nil {
		return GrantView{}, err
	}
	stale, err := s.Wait(ctx, q.Freshness, projections.Links.Name)
	if err != nil {
		return GrantView{}, err
	}
	row, err := s.Read.Grant(ctx, q.Grant)
	v := viewGrant(row, s.Now())
	v.Staleness = stale
	return v, err
}

// ProjectionStatus asks how far the projections are.
type ProjectionStatus struct{}

// ProjectionState is a projection's place in the log.
type ProjectionState struct {
	projections.Position
	Place uint64 `json:"position"` // in the log; sequence is the same
	Head  uint64 `json:"head"`     // the last event of a link or grant
	Lag   uint64 `json:"lag"`      // events between the two, at most
}

// ProjectionList is all projections.
type ProjectionList struct {
	Projections []ProjectionState `json:"projections"`
}

// ProjectionStatus runs the query.
func (s *Service) ProjectionStatus(ctx context.Context, _ ProjectionStatus) (ProjectionList, error) {
	head, err := s.Last(ctx)
	if err != nil {
		return ProjectionList{}, err
	}
	positions, err := s.Read.Positions(ctx)
	list := ProjectionList{Projections: []ProjectionState{}}
	for _, p := range positions {
		list.Projections = append(list.Projections, ProjectionState{Position: p, Place: p.Sequence, Head: head, Lag: head - min(p.Sequence, head)})
	}
	return list, err
}
