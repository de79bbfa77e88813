// Package web renders Outlink's pages on the server: the links list, the form
// for a new link, and the page of a link. They are live by server-sent events
// and work without a script.
//
// It decides nothing: it reads the read model and sends commands. It never
// shows a secret; what a person types as client secret goes into the command
// and is not repeated, not even beside a problem.
package web

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/projections"
)

// Commander is what the pages can do; *commands.Service does it.
type Commander interface {
	CreateOutgoingLink(ctx context.Context, c commands.CreateOutgoingLink) (commands.Outcome, error)
	BeginAuthorization(ctx context.Context, c commands.BeginAuthorization) (commands.Outcome, error)
	WithDeviceCode(ctx context.Context, out commands.Outcome) (commands.Outcome, error)
	RequestToken(ctx context.Context, c commands.RequestToken) (commands.Outcome, error)
	RequestRefresh(ctx context.Context, c commands.RequestRefresh) (commands.Outcome, error)
	DisableLink(ctx context.Context, c commands.DisableLink) (commands.Outcome, error)
	EnableLink(ctx context.Context, c commands.EnableLink) (commands.Outcome, error)
}

// Site is the pages. All fields are required.
type Site struct {
	Read      projections.Reader
	Commands  Commander
	Catalogue provider.Catalogue
	Policy    provider.Policy
	Changes   func(ctx context.Context) <-chan uint64 // the log sequence each time the read model advanced
	Now       func() time.Time
	NewID     func() uuid.UUID
}

// actor is who commands of these pages are from: nobody logs in here.
const actor = "web"

// maxForm bounds what a form may send, in bytes.
const maxForm = 1 << 20

// Register adds the pages to a mux. Forms of other origins are refused.
func (s *Site) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /static/{file}", serveStatic)
	mux.HandleFunc("GET /{$}", s.list)
	mux.HandleFunc("GET /links/new", s.draft)
	mux.HandleFunc("GET /links/{id}", s.show)
	mux.HandleFunc("GET /live/links", s.liveList)
	mux.HandleFunc("GET /live/links/{id}", s.liveLink)
	mux.HandleFunc("GET /live/redirect-url", s.liveRedirectURL)

	same := http.NewCrossOriginProtection()
	post := func(path string, h http.HandlerFunc) {
		mux.Handle("POST "+path, same.Handler(http.MaxBytesHandler(h, maxForm)))
	}
	post("/links", s.create)
	post("/links/{id}/authorize", s.authorize)
	post("/links/{id}/device", s.device)
	post("/links/{id}/request", s.request)
	post("/links/{id}/refresh", s.refresh)
	post("/links/{id}/disable", s.disable)
	post("/links/{id}/enable", s.enable)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, domain.Errorf(domain.NotFound, "there is no page at this address"))
	})
}

// policy is the Content-Security-Policy of every page. Browsers hold the
// redirects after a form to form-action too, so that the page which sends people
// to their provider has to name more than itself.
const policy = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

func (s *Site) leaving() string {
	if s.Policy.LoopbackHTTP {
		return policy + " https: http:"
	}
	return policy + " https:"
}

// page writes a page whole, or an error page: never half of one.
func (s *Site) page(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		slog.ErrorContext(r.Context(), "render a page", "path", r.URL.Path, "error", err)
		http.Error(w, "internal error; the node's log has the cause", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	if h.Get("Content-Security-Policy") == "" {
		h.Set("Content-Security-Policy", policy)
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// fail shows an error to a person.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, err error) {
	public := domain.Public(err)
	if public.Code == domain.Internal {
		slog.ErrorContext(r.Context(), "a page failed", "path", r.URL.Path, "error", err)
	}
	m := failure(public)
	if id, err := linkID(r); err == nil && public.Code != domain.NotFound {
		m.Link, m.LinkText = "/links/"+id.String(), "Back to the link"
	}
	Message(w, public.Code.HTTPStatus(), m)
}

// linkID is the link that the address names.
func linkID(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return uuid.Nil, domain.Errorf(domain.NotFound, "this address names no link")
	}
	return id, nil
}

func (s *Site) header() commands.Header {
	return commands.Header{CommandID: s.NewID(), Actor: actor}
}

// seeLink sends the browser to the page of a link, as it is after a command.
func seeLink(w http.ResponseWriter, r *http.Request, o commands.Outcome) {
	http.Redirect(w, r, "/links/"+o.Link.String()+"?min_sequence="+strconv.FormatUint(o.Sequence, 10), http.StatusSeeOther)
}

func (s *Site) authorize(w http.ResponseWriter, r *http.Request) {
	id, err := linkID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	o, err := s.Commands.BeginAuthorization(r.Context(), commands.BeginAuthorization{
		Header: s.header(), Link: id, Subject: strings.TrimSpace(r.PostFormValue("subject")),
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer") // the address has a ticket
	http.Redirect(w, r, o.AuthorizationURL, http.StatusSeeOther)
}

// request has the client itself request a token, without a person.
func (s *Site) request(w http.ResponseWriter, r *http.Request) {
	s.command(w, r, func(id uuid.UUID) (commands.Outcome, error) {
		return s.Commands.RequestToken(r.Context(), commands.RequestToken{
			Header: s.header(), Link: id, Subject: strings.TrimSpace(r.PostFormValue("subject")), GrantType: link.GrantType(r.PostFormValue("grant_type")),
		})
	})
}

func (s *Site) refresh(w http.ResponseWriter, r *http.Request) {
	s.command(w, r, func(id uuid.UUID) (commands.Outcome, error) {
		grant, err := uuid.Parse(r.PostFormValue("grant"))
		if err != nil {
			return commands.Outcome{}, domain.Errorf(domain.InvalidArgument, "the form names no grant; open the link's page again")
		}
		generation, _ := strconv.ParseUint(r.PostFormValue("generation"), 10, 64) // 0: whichever is current
		return s.Commands.RequestRefresh(r.Context(), commands.RequestRefresh{
			Header: s.header(), GrantRef: commands.GrantRef{Link: id, Grant: grant}, Generation: generation,
		})
	})
}

func (s *Site) disable(w http.ResponseWriter, r *http.Request) {
	s.command(w, r, func(id uuid.UUID) (commands.Outcome, error) {
		return s.Commands.DisableLink(r.Context(), commands.DisableLink{Header: s.header(), Link: id})
	})
}

func (s *Site) enable(w http.ResponseWriter, r *http.Request) {
	s.command(w, r, func(id uuid.UUID) (commands.Outcome, error) {
		return s.Commands.EnableLink(r.Context(), commands.EnableLink{Header: s.header(), Link: id})
	})
}

// command runs a command on the link of the address, and shows the link again.
func (s *Site) command(w http.ResponseWriter, r *http.Request, run func(uuid.UUID) (commands.Outcome, error)) {
	id, err := linkID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	o, err := run(id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	o.Link = id
	seeLink(w, r, o)
}
