package demoprovider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// SignIn opens the start page of an authorization and presses the button, as a
// person would, until the client has its answer.
func SignIn(ctx context.Context, startURL string) error {
	b := Browser{Fields: []string{"decision"}}
	page, err := b.Authorize(ctx, startURL)
	switch {
	case err != nil:
		return err
	case page.Forms == 0:
		return errors.New("there is no sign-in form on the page of the demo provider")
	case page.Status != http.StatusOK:
		return fmt.Errorf("the page after the sign-in answered with status %d", page.Status)
	}
	return nil
}

// Browser is a person who consents to everything: it follows redirects, keeps
// cookies and submits the sign-in forms that it knows. It is no browser: there
// are no scripts.
type Browser struct {
	Fields []string          // a form with a field of one of these names is a sign-in form
	Fill   map[string]string // what a person types, by the field's name
	Jar    http.CookieJar    // nil: a new one for each authorization
}

// Page is where an authorization ended.
type Page struct {
	Status int
	URL    string
	Body   string
	Forms  int // how many were submitted on the way
}

// steps bounds the forms of one authorization.
const steps = 20

// Authorize goes from startURL to the first page without a sign-in form. Its
// errors name no URL: one may hold a code.
func (b *Browser) Authorize(ctx context.Context, startURL string) (Page, error) {
	jar := b.Jar
	if jar == nil {
		jar, _ = cookiejar.New(nil) // never fails
	}
	c := &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, startURL, nil)
	if err != nil {
		return Page{}, errors.New("the start of the authorization is no URL")
	}
	for forms := range steps {
		page, at, err := open(c, req)
		if err != nil {
			return Page{}, err
		}
		page.Forms = forms
		if req = b.form(ctx, page.Body, at); req == nil {
			return page, nil
		}
	}
	return Page{}, fmt.Errorf("the sign-in does not end after %d forms", steps)
}

func open(c *http.Client, req *http.Request) (Page, *url.URL, error) {
	res, err := c.Do(req)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the URL
		}
		return Page{}, nil, fmt.Errorf("open a page of the sign-in: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return Page{}, nil, fmt.Errorf("read a page of the sign-in: %w", err)
	}
	return Page{Status: res.StatusCode, URL: res.Request.URL.String(), Body: string(body)}, res.Request.URL, nil
}

// form gives the request that submits the page's sign-in form, or nil.
func (b *Browser) form(ctx context.Context, body string, at *url.URL) *http.Request {
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return nil
	}
	for n := range doc.Descendants() {
		if n.DataAtom.String() != "form" || !strings.EqualFold(attr(n, "method"), http.MethodPost) {
			continue
		}
		values := b.fields(n)
		if !b.known(values) {
			continue
		}
		action, err := at.Parse(attr(n, "action"))
		if err != nil {
			return nil
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, action.String(), strings.NewReader(values.Encode()))
		if err != nil {
			return nil
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return req
	}
	return nil
}

// fields fills a form. The first button is the one that is pressed.
func (b *Browser) fields(form *html.Node) url.Values {
	values, pressed := url.Values{}, false
	for n := range form.Descendants() {
		name, value := attr(n, "name"), attr(n, "value")
		switch n.DataAtom.String() {
		case "button":
			if pressed {
				continue
			}
			pressed = true
		case "input":
		default:
			continue
		}
		if name == "" {
			continue
		}
		if typed, ok := b.Fill[name]; ok {
			value = typed
		}
		values.Set(name, value)
	}
	return values
}

func (b *Browser) known(form url.Values) bool {
	return slices.ContainsFunc(b.Fields, form.Has)
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
