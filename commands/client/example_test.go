package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"golang.org/x/oauth2"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/commands/client/outlinktest"
	"outlink/domain"
	"outlink/domain/link"
)

// shown is what an example has instead of a test. In a program of yours, connect
// instead:
//
//	nc, err := nats.Connect("nats://127.0.0.1:4222", nats.MaxReconnects(-1))
//	c := client.New(nc, "outlink")
type shown struct {
	dir   string
	after []func()
}

func (s *shown) Helper()                           {}
func (s *shown) Context() context.Context          { return context.Background() }
func (s *shown) Cleanup(f func())                  { s.after = append(s.after, f) }
func (s *shown) Errorf(format string, args ...any) { fmt.Printf(format, args...) }
func (s *shown) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (s *shown) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (s *shown) TempDir() string {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "outlink-example")
		if err != nil {
			s.Fatal(err)
		}
		s.dir = dir
	}
	return s.dir
}

func (s *shown) end() {
	for i := len(s.after) - 1; i >= 0; i-- {
		s.after[i]()
	}
	_ = os.RemoveAll(s.dir)
}

func ExampleClient_CreateOutgoingLink() {
	t := &shown{}
	defer t.end()
	c := outlinktest.Start(t).Client()

	out, err := c.CreateOutgoingLink(context.Background(), commands.CreateOutgoingLink{
		Header: commands.Header{Actor: "service:billing"},
		Draft: commands.Draft{
			Name: "crm", Provider: "google", ClientID: "id.apps.googleusercontent.com", Scopes: []string{"openid", "email"},
		},
		ClientSecret: domain.SecretInput{Clear: domain.NewSecret("it leaves this process sealed")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Events)
	// Output: [outlink.link.created.v1]
}

// An error has a code to decide on, and details for a program.
func ExampleClient_DisableLink_refused() {
	t := &shown{}
	defer t.end()
	o := outlinktest.Start(t)
	id := o.Link(t, "crm")

	version := uint64(7)
	_, err := o.Client().DisableLink(context.Background(), commands.DisableLink{
		Header: commands.Header{ExpectedVersion: &version}, Link: id,
	})
	var refused *domain.Error
	if errors.As(err, &refused) && refused.Code == domain.Conflict {
		fmt.Println("it is at version", refused.Details["version"])
	}
	// Output: it is at version 1
}

func ExampleClient_TokenSource() {
	t := &shown{}
	defer t.end()
	o := outlinktest.Start(t)
	id, api := o.Link(t, "crm"), httptest.NewServer(http.HandlerFunc(authorized))
	defer api.Close()

	ctx := context.Background()
	h := oauth2.NewClient(ctx, o.Client().TokenSource(ctx, id, ""))
	show(h.Get(api.URL))
	h.CloseIdleConnections()
	// Output: welcome
}

// Unlike a TokenSource, this client also gets over a token that is refused.
func ExampleClient_HTTPClient() {
	t := &shown{}
	defer t.end()
	o := outlinktest.Start(t)
	id, api := o.Link(t, "crm"), httptest.NewServer(http.HandlerFunc(authorized))
	defer api.Close()

	h := o.Client().HTTPClient(id, "")
	show(h.Get(api.URL))
	h.CloseIdleConnections()
	// Output: welcome
}

func authorized(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, "welcome")
}

func show(res *http.Response, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Printf("%s\n", body)
}

func ExampleClient_Subscribe() {
	t := &shown{}
	defer t.end()
	o := outlinktest.Start(t)
	id := o.Link(t, "crm")

	enough := errors.New("enough")
	kept := uint64(0) // of the last event handled: store it, to go on there after a restart
	err := o.Client().Subscribe(context.Background(), kept, client.Filter{Link: id}, func(_ context.Context, r domain.Record) error {
		kept = r.Sequence
		fmt.Println(domain.ShortType(r.Type))
		if domain.ShortType(r.Type) == "grant.token_issued" {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		fmt.Println(err)
	}
	// Output:
	// link.created
	// grant.authorization_begun
	// grant.authorization_consumed
	// grant.token_issued
}

func ExampleClient_WatchLinks() {
	t := &shown{}
	defer t.end()
	o := outlinktest.Start(t)
	o.Link(t, "crm")
	o.Link(t, "calendar")

	enough := errors.New("enough")
	_ = o.Client().WatchLinks(context.Background(), func(_ context.Context, links []client.Link) error {
		for _, l := range links { // the list first; then what changes
			fmt.Println(l.State.Name, l.State.Status() == link.StatusActive)
		}
		return enough
	})
	// Output:
	// crm true
	// calendar true
}
