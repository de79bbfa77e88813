package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// draftView is the form for a new link. It has no place for the client secret.
type draftView struct {
	Link      uuid.UUID
	Provider  provider.Provider
	Draft     commands.Draft
	Redirect  redirectView
	OtherLink string            // whose tokens are exchanged, as it was typed
	Problem   string            // about the whole
	Problems  map[string]string // by field
}

// redirectView is the redirect URL, or why there is none yet.
type redirectView struct{ URL, Problem string }

// draft shows the providers to choose from, or the form for the chosen one. The
// link's id is made here, so that its redirect URL can be registered first.
func (s *Site) draft(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("provider")
	if key == "" {
		s.page(w, r, http.StatusOK, choosePage(s.Catalogue.All()))
		return
	}
	p, err := s.Catalogue.Get(key)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c := p.Complete(link.Config{Provider: key})
	d := commands.Draft{
		Provider: key, Scopes: c.Scopes, AuthStyle: c.AuthStyle, Issuer: c.Issuer,
		AuthorizationEndpoint: c.AuthorizationEndpoint, TokenEndpoint: c.TokenEndpoint, RevocationEndpoint: c.RevocationEndpoint,
		GrantTypes: c.GrantTypes, DeviceEndpoint: c.DeviceEndpoint, PushEndpoint: c.PushEndpoint, DPoP: c.DPoP,
	}
	id := s.NewID()
	s.page(w, r, http.StatusOK, draftPage(draftView{Link: id, Provider: p, Draft: d, Redirect: s.redirect(id, d)}))
}

// create configures the link, or shows the form again with what is wrong.
func (s *Site) create(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, domain.Errorf(domain.InvalidArgument, "the form could not be read; open it again"))
		return
	}
	id, err := uuid.Parse(r.PostForm.Get("id"))
	if err != nil || id == uuid.Nil {
		s.fail(w, r, domain.Errorf(domain.InvalidArgument, "the form has no link id; open it again"))
		return
	}
	d := draftOf(r.PostForm)
	p, err := s.Catalogue.Get(d.Provider)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	d.Scopes = scopesOf(p, d)
	o, err := s.configure(r, id, d)
	if err == nil {
		o.Link = id
		seeLink(w, r, o)
		return
	}
	public := domain.Public(err)
	if public.Code == domain.Internal {
		s.fail(w, r, err)
		return
	}
	v := draftView{
		Link: id, Provider: p, Draft: d, OtherLink: r.PostForm.Get("exchange.subject_link_id"), Redirect: s.redirect(id, d),
		Problem: public.Message, Problems: beside(err),
	}
	besideKey(d.AuthStyle, v.Problems)
	if len(v.Problems) > 0 {
		v.Problem = "Please correct the marked fields and give the client secret or key again: it is not kept."
	}
	s.page(w, r, public.Code.HTTPStatus(), draftPage(v))
}

// configure runs the command that the form stands for.
func (s *Site) configure(r *http.Request, id uuid.UUID, d commands.Draft) (o commands.Outcome, err error) {
	c := commands.CreateOutgoingLink{Header: s.header(), Link: id, Draft: d}
	if c.ClientSecret, err = secretOf(r.PostForm); err != nil {
		return o, err
	}
	if c.Exchange.Link, err = exchangedLink(r.PostForm); err != nil {
		return o, err
	}
	return s.Commands.CreateOutgoingLink(r.Context(), c)
}

// fields are those of the form that can show a problem.
var fields = append([]string{"name", "client_id", "client_secret", "scopes", "auth_style", "authorization_endpoint", "token_endpoint", "revocation_endpoint", "issuer"}, wayFields...)

// beside sorts the problems of an error by field. A name that is taken is the
// one problem which the command finds by itself.
func beside(err error) map[string]string {
	by := map[string]string{}
	var e *domain.Error
	if !errors.As(err, &e) {
		return by
	}
	problems, _ := e.Details["problems"].([]provider.Problem)
	for _, p := range problems {
		by[p.Field] = strings.TrimPrefix(by[p.Field]+"; "+p.Problem, "; ")
	}
	return by
}

// rest are problems whose field the form does not have.
func (v draftView) rest() []string {
	var rest []string
	for field, problem := range v.Problems {
		if !slices.Contains(fields, field) {
			rest = append(rest, field+" "+problem)
		}
	}
	return rest
}

// draftOf reads a draft from a form or a query. It never reads the secret.
func draftOf(q url.Values) commands.Draft {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	d := commands.Draft{
		Name: text("name"), Provider: text("provider"), ClientID: text("client_id"),
		Scopes:                strings.Fields(q.Get("scopes")),
		AuthorizationEndpoint: text("authorization_endpoint"),
		TokenEndpoint:         text("token_endpoint"),
		RevocationEndpoint:    text("revocation_endpoint"),
		Issuer:                text("issuer"),
		AuthStyle:             link.AuthStyle(text("auth_style")),
	}
	readWays(q, &d)
	return d
}

func (s *Site) redirect(id uuid.UUID, d commands.Draft) redirectView {
	p, err := s.Catalogue.Get(d.Provider)
	if err != nil {
		return redirectView{Problem: domain.Public(err).Message}
	}
	c := p.Complete(link.Config{Provider: d.Provider, AuthorizationEndpoint: d.AuthorizationEndpoint, TokenEndpoint: d.TokenEndpoint})
	at, err := p.RedirectURL(s.Policy, id, c)
	if err != nil {
		return redirectView{Problem: domain.Public(err).Message}
	}
	return redirectView{URL: at}
}
