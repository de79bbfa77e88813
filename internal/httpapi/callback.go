package httpapi

import (
	"net/http"
	"strings"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/internal/web"
	"outlink/workers/authorize"
)

// cookieName is the name of an authorization's cookie: __Host- binds it to this
// host over TLS; a development server without TLS cannot have that.
func (a *API) cookieName(id uuid.UUID) string {
	name := "outlink-" + id.String()
	if strings.HasPrefix(a.PublicURL, "https://") {
		return "__Host-" + name
	}
	return name
}

// start is the page that a person opens to authorize a link: it leaves a cookie
// that recognises the browser and sends it on to the provider.
func (a *API) start(w http.ResponseWriter, r *http.Request) {
	link, err := uuid.Parse(r.PathValue("link"))
	if err != nil {
		a.say(w, domain.Errorf(domain.NotFound, "this address names no link"))
		return
	}
	s, err := a.Flow.Begin(r.Context(), link, r.URL.Query().Get("ticket"))
	if err != nil {
		a.say(w, err)
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: a.cookieName(s.Authorization), Value: s.Cookie, Path: "/", MaxAge: 600, HttpOnly: true,
		Secure: strings.HasPrefix(a.PublicURL, "https://"), SameSite: http.SameSiteLaxMode,
	})
	private(w)
	http.Redirect(w, r, s.URL, http.StatusSeeOther)
}

// callback is the redirect URL of a link: where the provider sends the browser.
func (a *API) callback(w http.ResponseWriter, r *http.Request) {
	link, err := uuid.Parse(r.PathValue("link"))
	if err != nil {
		a.say(w, domain.Errorf(domain.NotFound, "this address names no link"))
		return
	}
	q := r.URL.Query()
	var spent string
	_, err = a.Flow.Complete(r.Context(), authorize.Callback{
		Link: link, State: q.Get("state"), Code: domain.NewSecret(q.Get("code")), Issuer: q.Get("iss"), Error: q.Get("error"),
		Cookie: func(id uuid.UUID) string {
			spent = a.cookieName(id)
			c, err := r.Cookie(spent)
			if err != nil {
				return ""
			}
			return c.Value
		},
	})
	if spent != "" {
		http.SetCookie(w, &http.Cookie{Name: spent, Path: "/", MaxAge: -1, HttpOnly: true, Secure: strings.HasPrefix(a.PublicURL, "https://")})
	}
	if err != nil {
		a.say(w, err)
		return
	}
	web.Message(w, http.StatusOK, web.MessagePage{
		Title: "Authorized", Text: "The link is authorized. Outlink keeps its token fresh from now on; you can close this window.",
		Link: "/links/" + link.String(), LinkText: "Open the link",
	})
}

// private keeps an answer out of caches and of the next site's referrer.
func private(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
}

// say shows an error to a person.
func (a *API) say(w http.ResponseWriter, err error) {
	public := domain.Public(err)
	if public.Code == domain.Internal {
		a.Log.Error("an authorization failed", "error", err)
	}
	web.Message(w, public.Code.HTTPStatus(), web.MessagePage{Title: "Not authorized", Text: public.Message, Link: "/", LinkText: "Back to the links"})
}
