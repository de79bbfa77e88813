package client_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/commands/client/outlinktest"
)

// The first that WatchLinks tells is the whole list, also while its last link changes.
func TestListWhileALinkChanges(t *testing.T) {
	o := outlinktest.Start(t)
	c, ctx := o.Client(), limited(t)
	for _, name := range []string{"one", "two"} {
		o.Link(t, name)
	}
	last := o.Link(t, "three")
	changing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; changing.Err() == nil; i++ {
			_, _ = c.UpdateOutgoingLink(changing, commands.UpdateOutgoingLink{Link: last, Scopes: []string{"openid", fmt.Sprint("scope", i%2)}})
		}
	}()
	enough := errors.New("enough")
	for range 40 {
		err := c.WatchLinks(ctx, func(_ context.Context, links []client.Link) error {
			if len(links) != 3 {
				t.Errorf("the list has %d links", len(links))
			}
			return enough
		})
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
	}
	stop()
	<-done
}

// A question that says nothing is asked by a nil map as well.
func TestNilQuestion(t *testing.T) {
	c := outlinktest.Start(t).Client()
	var nothing map[string]any
	var all struct{ Providers []any }
	if err := c.Query(limited(t), "ListProviders", nothing, &all); err != nil || len(all.Providers) == 0 {
		t.Errorf("%d providers, %v", len(all.Providers), err)
	}
}
