package client_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"golang.org/x/oauth2"

	"outlink/commands/client/outlinktest"
)

// resource is a resource server that refuses the tokens it is told to.
type resource struct {
	mu      sync.Mutex
	refused map[string]bool
	seen    []string // the Authorization header, then the body
	always  bool
}

func (r *resource) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	token := req.Header.Get("Authorization")
	r.seen = append(r.seen, token+" "+string(body))
	if r.refused[token] || r.always {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func (r *resource) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// idle closes the connections of the default transport, whose goroutines would
// outlive the test.
func idle(t *testing.T) {
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections) //nolint:forcetypeassert // it is one
}

// Hot callers ask NATS once: forty at the same time, and all that come later.
func TestTokenSourceAsksOnce(t *testing.T) {
	o := outlinktest.Start(t)
	id := o.Link(t, "crm")
	asked, err := o.Client().NC.SubscribeSync("outlink.token.get.>")
	if err != nil {
		t.Fatal(err)
	}
	source := o.Client().TokenSource(t.Context(), id, "")
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			for range 50 {
				if token, err := source.Token(); err != nil || !token.Valid() || token.Type() != "Bearer" {
					t.Errorf("%v", err)
				}
			}
		})
	}
	wg.Wait()
	if err := o.Client().NC.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := asked.Pending(); err != nil || n != 1 {
		t.Errorf("asked %d times, %v; want once", n, err)
	}
}

func TestTokenSourceEndsWithItsContext(t *testing.T) {
	o := outlinktest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Client().TokenSource(ctx, o.Link(t, "crm"), "").Token(); err == nil {
		t.Error("a token after the end of the context")
	}
}

func TestOAuth2NewClient(t *testing.T) {
	idle(t)
	o, r := outlinktest.Start(t), &resource{}
	at := listen(t, r)
	res, err := oauth2.NewClient(t.Context(), o.Client().TokenSource(t.Context(), o.Link(t, "crm"), "")).Get(at)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if seen := r.take(); len(seen) != 1 || !strings.HasPrefix(seen[0], "Bearer ") {
		t.Errorf("%d requests", len(seen))
	}
}

// A refused token is reported and the request repeated with the next one, whole.
func TestRefusedToken(t *testing.T) {
	idle(t)
	o, r := outlinktest.Start(t), &resource{refused: map[string]bool{}}
	at, id, c := listen(t, r), o.Link(t, "crm"), o.Client()
	first, err := c.Token(t.Context(), id, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	r.refused["Bearer "+first.AccessToken] = true
	h := c.HTTPClient(id, "")
	res, err := h.Post(at, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	seen := r.take()
	if res.StatusCode != http.StatusOK || len(seen) != 2 || seen[0] == seen[1] || !strings.HasSuffix(seen[0], " hello") || !strings.HasSuffix(seen[1], " hello") {
		t.Errorf("status %d after %d requests", res.StatusCode, len(seen))
	}
	second, err := c.Token(t.Context(), id, "", 0)
	if err != nil || second.Generation != first.Generation+1 {
		t.Errorf("generation %d, %v; want one refresh after %d", second.Generation, err, first.Generation)
	}

	// Refused again, it is the resource's own trouble: no second refresh.
	r.mu.Lock()
	r.always = true
	r.mu.Unlock()
	res, err = h.Post(at, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if seen := r.take(); res.StatusCode != http.StatusUnauthorized || len(seen) != 1 {
		t.Errorf("status %d after %d requests", res.StatusCode, len(seen))
	}
}

// A body that is gone cannot be sent again: the caller gets the 401, and the next
// request the next token.
func TestRefusedTokenOfAStream(t *testing.T) {
	idle(t)
	o, r := outlinktest.Start(t), &resource{refused: map[string]bool{}}
	at, id, c := listen(t, r), o.Link(t, "crm"), o.Client()
	first, err := c.Token(t.Context(), id, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	r.refused["Bearer "+first.AccessToken] = true
	h := c.HTTPClient(id, "")
	for _, want := range []int{http.StatusUnauthorized, http.StatusOK} {
		res, err := h.Post(at, "text/plain", io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if seen := r.take(); res.StatusCode != want || len(seen) != 1 {
			t.Errorf("status %d after %d requests, want %d", res.StatusCode, len(seen), want)
		}
	}
}

// The token stays with the origin that was asked for, there and back.
func TestRedirect(t *testing.T) {
	idle(t)
	o, foreign := outlinktest.Start(t), &resource{}
	elsewhere := listen(t, foreign)
	var home []string
	at := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		home = append(home, r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/within":
			http.Redirect(w, r, "/away", http.StatusFound)
		case "/away":
			http.Redirect(w, r, elsewhere, http.StatusFound)
		}
	}))
	res, err := o.Client().HTTPClient(o.Link(t, "crm"), "").Get(at + "/within")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if len(home) != 2 || !strings.HasPrefix(home[0], "Bearer ") || home[0] != home[1] {
		t.Errorf("%d requests at home, all with the token: no", len(home))
	}
	if seen := foreign.take(); len(seen) != 1 || seen[0] != " " {
		t.Errorf("%d requests elsewhere; the token must not be in any", len(seen))
	}
}

// A source with nobody to ask gives an error, not a wait without end.
func TestTokenSourceWithoutAService(t *testing.T) {
	o := outlinktest.Start(t)
	nc, err := nats.Connect(o.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := o.Client()
	c.Namespace = "elsewhere"
	if _, err := c.TokenSource(t.Context(), o.Link(t, "crm"), "").Token(); err == nil {
		t.Error("a token from nobody")
	}
}
