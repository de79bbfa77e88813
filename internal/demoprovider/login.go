package demoprovider

import (
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
)

//go:embed login.html
var loginHTML string

var loginTemplate = template.Must(template.New("login").Parse(loginHTML))

// loginPage is GET /login?id=….
func (s *storage) loginPage(w http.ResponseWriter, r *http.Request) {
	request, err := s.request(r.URL.Query().Get("id"))
	if err != nil {
		http.Error(w, "this sign-in is over; start again", http.StatusBadRequest)
		return
	}
	// There is no form-action: browsers apply it to the redirects that follow a
	// form too, and those lead to the client.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_ = loginTemplate.Execute(w, request)
}

// login is POST /login: the decision, and back to the client.
func (s *storage) login(callback func(context.Context, string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		request, err := s.request(r.PostFormValue("id"))
		if err != nil {
			http.Error(w, "this sign-in is over; start again", http.StatusBadRequest)
			return
		}
		if r.PostFormValue("decision") == "allow" {
			s.allow(request.ID)
			http.Redirect(w, r, callback(r.Context(), request.ID), http.StatusSeeOther)
			return
		}
		_ = s.DeleteAuthRequest(r.Context(), request.ID) // it is a map
		back := url.Values{"error": {"access_denied"}, "state": {request.State}}
		http.Redirect(w, r, request.RedirectURI+"?"+back.Encode(), http.StatusSeeOther)
	}
}
