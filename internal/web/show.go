package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/link"
	"outlink/projections"
)

// linkView is the page of a link.
type linkView struct {
	linkItem
	Advice advice.Advice
	Since  moment // of the trouble
	Grants []grantItem
	More   string // address of further grants, or ""
	Events []eventItem
	Older  string // address of older events, or ""
	Live   string // address of the stream
	Now    time.Time
}

type grantItem struct {
	projections.GrantRow
	Badge    badge
	Life     lifetime
	Due      moment
	Advice   advice.Advice
	CanRenew bool
}

type eventItem struct {
	Sequence uint64
	At       moment
	Name     string
	Text     string
	Subject  string
	Actor    string
}

const eventsShown = 50

func (s *Site) show(w http.ResponseWriter, r *http.Request) {
	id, err := linkID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	wanted, _ := strconv.ParseUint(r.URL.Query().Get("min_sequence"), 10, 64)
	if wanted > 0 {
		s.wait(r.Context(), wanted)
	}
	v, err := s.readLink(r.Context(), id, r.URL.Query())
	if wanted > 0 && errors.Is(err, &domain.Error{Code: domain.NotFound}) {
		err = domain.Errorf(domain.Unavailable, "the link is saved, and this node has not read it yet; reload this page in a moment")
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", s.leaving())
	s.page(w, r, http.StatusOK, linkPage(v))
}

func (s *Site) readLink(ctx context.Context, id uuid.UUID, q url.Values) (linkView, error) {
	row, err := s.Read.Link(ctx, id)
	if err != nil {
		return linkView{}, err
	}
	v := linkView{
		linkItem: s.item(row, nil), Advice: linkAdvice(row),
		Since: at(s.Now(), row.State.TroubleSince), Now: s.Now(),
	}
	here, keep := "/links/"+id.String(), url.Values{}
	for _, name := range []string{"after", "before"} {
		if q.Get(name) != "" {
			keep.Set(name, q.Get(name))
		}
	}
	v.Live = address("/live"+here, keep, "", "")
	grants, next, err := s.Read.Grants(ctx, projections.GrantFilter{Link: id, After: q.Get("after")})
	if err != nil {
		return linkView{}, err
	}
	subjects := map[uuid.UUID]string{}
	for _, g := range grants {
		subjects[g.Grant] = g.State.Subject
		v.Grants = append(v.Grants, s.grantItem(row, g))
	}
	if next != "" {
		v.More = address(here, keep, "after", next)
	}
	before, _ := strconv.ParseUint(q.Get("before"), 10, 64)
	records, err := s.Read.Activity(ctx, projections.ActivityFilter{Link: id, Before: before, Limit: eventsShown})
	if err != nil {
		return linkView{}, err
	}
	for _, record := range records {
		v.Events = append(v.Events, s.eventItem(record, subjects))
	}
	if len(records) == eventsShown {
		v.Older = address(here, keep, "before", strconv.FormatUint(records[len(records)-1].Sequence, 10))
	}
	return v, nil
}

func (s *Site) grantItem(l projections.LinkRow, g projections.GrantRow) grantItem {
	now := s.Now()
	c := g.State.Credential
	return grantItem{
		GrantRow: g, Badge: grantBadge(g.State.StatusAt(now)), Life: life(now, g.State), Due: at(now, g.State.DueAt()),
		Advice: grantAdvice(now, g.State),
		CanRenew: l.State.Usable(l.Link) == nil && c != nil && c.Refreshable && !g.State.Ended && !g.State.OnHold &&
			g.State.Reauthorize == "" && g.State.Unreadable == "" && g.State.Attempt == nil,
	}
}

func (s *Site) eventItem(r domain.Record, subjects map[uuid.UUID]string) eventItem {
	_, name, _ := strings.Cut(domain.ShortType(r.Type), ".")
	item := eventItem{Sequence: r.Sequence, At: at(s.Now(), r.Time), Name: strings.ReplaceAll(name, "_", " "), Text: told(r), Actor: r.Actor}
	if r.OfGrant() {
		item.Subject = cmp.Or(subjects[r.Grant], r.Grant.String()[:8])
	}
	return item
}

func (v linkView) deleted() bool  { return v.State.Status() == link.StatusDeleted }
func (v linkView) disabled() bool { return v.State.Status() == link.StatusDisabled }
