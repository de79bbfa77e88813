package web

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/projections"
)

// listView is the links list as a page shows it.
type listView struct {
	Filter    projections.LinkFilter
	Rows      []linkItem
	Next      string // address of the next page, or ""
	Live      string // address of the stream
	Providers []provider.Provider
	Now       time.Time
}

// linkItem is a row of the list, in words.
type linkItem struct {
	projections.LinkRow
	Provider string
	Badge    badge
	Life     lifetime
	Updated  moment
}

var statuses = []link.Status{link.StatusActive, link.StatusDegraded, link.StatusDisabled, link.StatusDeleted}

func (s *Site) list(w http.ResponseWriter, r *http.Request) {
	v, err := s.readList(r.Context(), r.URL.Query(), lives{})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.page(w, r, http.StatusOK, listPage(v))
}

func (s *Site) readList(ctx context.Context, q url.Values, known lives) (listView, error) {
	v := listView{
		Filter: projections.LinkFilter{
			Provider: q.Get("provider"), Status: link.Status(q.Get("status")), Text: q.Get("name"), After: q.Get("after"),
		},
		Providers: s.Catalogue.All(), Now: s.Now(),
	}
	keep := url.Values{}
	for _, name := range []string{"provider", "status", "name"} {
		if q.Get(name) != "" {
			keep.Set(name, q.Get(name))
		}
	}
	rows, next, err := s.Read.Links(ctx, v.Filter)
	if err != nil {
		return v, err
	}
	if err := known.learn(ctx, s.Read, rows); err != nil {
		return v, err
	}
	for _, row := range rows {
		v.Rows = append(v.Rows, s.item(row, known))
	}
	v.Live = address("/live/links", keep, "after", v.Filter.After)
	if next != "" {
		v.Next = address("/", keep, "after", next)
	}
	return v, nil
}

// address is a path with a query, and one parameter more where that has a value.
func address(path string, q url.Values, name, value string) string {
	all := url.Values{}
	for k, v := range q {
		all[k] = v
	}
	if value != "" {
		all.Set(name, value)
	}
	if len(all) == 0 {
		return path
	}
	return path + "?" + all.Encode()
}

func (s *Site) item(row projections.LinkRow, known lives) linkItem {
	p := s.provider(row.State.Provider)
	item := linkItem{
		LinkRow: row, Provider: p.Name, Badge: linkBadge(row),
		Life: ending(s.Now(), row.NextExpiry, p.Lifetimes.Access), Updated: at(s.Now(), row.UpdatedAt),
	}
	if g, ok := known[row.Link]; ok && g.expires.Equal(row.NextExpiry) {
		item.Life = life(s.Now(), g.State)
	}
	return item
}

// provider is an entry of the catalogue, or a stand-in for one that is gone.
func (s *Site) provider(key string) provider.Provider {
	p, err := s.Catalogue.Get(key)
	if err != nil {
		return provider.Provider{Key: key, Name: key}
	}
	return p
}

func (v listView) filtered() bool {
	return v.Filter.Provider != "" || v.Filter.Status != "" || v.Filter.Text != "" || v.Filter.After != ""
}

func (s *Site) liveList(w http.ResponseWriter, r *http.Request) {
	known := lives{}
	s.stream(w, r, func(ctx context.Context) (component, error) {
		v, err := s.readList(ctx, r.URL.Query(), known)
		if err != nil {
			return problemNote(domain.Public(err).Message), err
		}
		return listRows(v), nil
	})
}
