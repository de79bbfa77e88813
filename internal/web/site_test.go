package web

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/link"
)

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func body(t *testing.T, r *http.Response, err error) (*http.Response, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(b)
}

func TestPages(t *testing.T) {
	_, srv := start(t)
	client := &http.Client{Timeout: 10 * time.Second} // a stream would have no end
	for _, c := range []struct {
		path   string
		status int
		want   []string
	}{
		{"/", 200, []string{"Calendar &lt;sync&gt;", "Google", "needs consent", "renews in 12 s", "1 to authorize", "5 min ago"}},
		{"/?provider=google&name=c", 200, []string{`rel="next"`, "after=cursor", `value="c"`}},
		{"/links/new", 200, []string{"Google", "custom", "any endpoints"}},
		{"/links/new?provider=google", 200, []string{"https://oauth2.googleapis.com/token", "https://outlink.example.com/oauth/callback/", "data-copy"}},
		{"/links/new?provider=custom", 200, []string{"there is no redirect URL yet"}},
		{"/links/new?provider=nobody", 400, []string{"not in the catalogue"}},
		{"/links/" + linkA.String(), 200, []string{"renews in 12 s", "needs consent", "The person or the provider said no.", "token issued", "generation 3", "Refresh now", "One grant needs"}},
		{"/links/" + linkA.String() + "?min_sequence=7", 200, []string{"renews in 12 s"}},
		{"/links/" + uuid.NewString(), 404, []string{"Not found"}},
		{"/links/nonsense", 404, []string{"names no link"}},
		{"/static/outlink.css", 200, []string{"light-dark("}},
		{"/static/htmx.min.js", 200, []string{"htmx"}},
	} {
		r, err := client.Get(srv.URL + c.path)
		r, html := body(t, r, err)
		if r.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.path, r.StatusCode, c.status)
		}
		for _, want := range c.want {
			if !strings.Contains(html, want) {
				t.Errorf("%s: no %q", c.path, want)
			}
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(c.path, "/static") && (!strings.HasPrefix(csp, "default-src 'self';") || strings.Contains(csp, "unsafe")) {
			t.Errorf("%s: policy %q", c.path, csp)
		}
		if strings.Contains(html, "style=") || strings.Contains(html, "onclick") {
			t.Errorf("%s: inline style or script", c.path)
		}
	}
}

func TestFormKeepsEverythingButTheSecret(t *testing.T) {
	w, srv := start(t)
	id := uuid.NewString()
	form := url.Values{"id": {id}, "provider": {"google"}, "name": {""}, "client_id": {"client-2"}, "client_secret": {"s3cr3t-value"},
		"scopes": {"a b"}, "auth_style": {"body"}, "authorization_endpoint": {"http://insecure.example.com/"}, "token_endpoint": {"https://oauth2.googleapis.com/token"}}
	r, err := client.PostForm(srv.URL+"/links", form)
	r, html := body(t, r, err)
	if r.StatusCode != 400 || !strings.Contains(html, `id="name-problem"`) || !strings.Contains(html, `id="authorization_endpoint-problem"`) {
		t.Errorf("status %d, want 400 with problems beside name and authorization_endpoint", r.StatusCode)
	}
	if strings.Contains(html, "s3cr3t-value") {
		t.Error("the client secret is repeated")
	}
	if !strings.Contains(html, "client-2") || !strings.Contains(html, id) {
		t.Error("what was typed is lost")
	}

	form.Set("name", "Mail")
	form.Set("authorization_endpoint", "https://accounts.google.com/o/oauth2/v2/auth")
	r, err = client.PostForm(srv.URL+"/links", form)
	r, _ = body(t, r, err)
	if got, want := r.Header.Get("Location"), "/links/"+id+"?min_sequence=8"; r.StatusCode != 303 || got != want {
		t.Errorf("%d to %q, want 303 to %q", r.StatusCode, got, want)
	}
	if w.created.ClientSecret.Clear.Reveal() != "s3cr3t-value" {
		t.Error("the client secret did not reach the command")
	}
}

func TestActions(t *testing.T) {
	w, srv := start(t)
	here := srv.URL + "/links/" + linkA.String()
	for _, c := range []struct {
		action   string
		form     url.Values
		status   int
		location string
	}{
		{"authorize", url.Values{"subject": {" anna "}}, 303, "https://outlink.example.com/oauth/start/" + linkA.String() + "?ticket=t"},
		{"refresh", url.Values{"grant": {grantA.String()}, "generation": {"3"}}, 303, "/links/" + linkA.String() + "?min_sequence=7"},
		{"refresh", nil, 400, ""},
		{"request", url.Values{"subject": {" ledger "}, "grant_type": {"client_credentials"}}, 303, "/links/" + linkA.String() + "?min_sequence=7"},
		{"disable", nil, 303, "/links/" + linkA.String() + "?min_sequence=8"},
		{"enable", nil, 412, ""},
	} {
		r, err := client.PostForm(here+"/"+c.action, c.form)
		r, _ = body(t, r, err)
		if got := r.Header.Get("Location"); r.StatusCode != c.status || got != c.location {
			t.Errorf("%s: %d to %q, want %d to %q", c.action, r.StatusCode, got, c.status, c.location)
		}
	}
	if w.began.Subject != "anna" || w.renewed.Grant != grantA || w.renewed.Generation != 3 {
		t.Errorf("began %q, renewed %s generation %d", w.began.Subject, w.renewed.Grant, w.renewed.Generation)
	}

	if w.wanted.Link != linkA || w.wanted.Subject != "ledger" || w.wanted.GrantType != link.ClientCredentials {
		t.Errorf("requested %+v", w.wanted)
	}

	req, _ := http.NewRequest("POST", here+"/disable", nil)
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	r, err := client.Do(req)
	if r, _ = body(t, r, err); r.StatusCode != 403 {
		t.Errorf("a form of another site: %d, want 403", r.StatusCode)
	}
}

func TestStreamSendsTheWholeFragmentWithItsSequence(t *testing.T) {
	w, srv := start(t)
	r, err := client.Get(srv.URL + "/live/links")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	lines := bufio.NewReader(r.Body)
	next := func() string {
		var event strings.Builder
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if line == "\n" {
				return event.String()
			}
			event.WriteString(line)
		}
	}
	if e := next(); !strings.HasPrefix(e, "id: 7\ndata: ") || !strings.Contains(e, "Calendar") {
		t.Errorf("first event: %.80q", e)
	}
	w.change(func() { w.links[0].State.Name = "Renamed" })
	if e := next(); !strings.HasPrefix(e, "id: 8\ndata: ") || !strings.Contains(e, "Renamed") {
		t.Errorf("second event: %.80q", e)
	}
}
