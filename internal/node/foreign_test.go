package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/internal/bus"
)

// A link is erased whatever somebody put on the subjects of grants that it never
// had.
func TestErasureAmongForeignMessages(t *testing.T) {
	i := start(t)
	id := i.createLink(newOP(t, 3600), "crm")
	grants := bus.DefaultNamespace.GrantEvents(id, uuid.New())
	for _, subject := range []string{grants, grants[:len(grants)-1] + "x", bus.DefaultNamespace.LinkEvents(id)} {
		if _, err := i.nc.Request(subject, []byte("junk"), 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	i.do("DeleteLink", commands.DeleteLink{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	js, err := jetstream.New(i.nc)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := js.KeyValue(t.Context(), bus.DefaultNamespace.Keys())
	for ctx := i.ctx(); err == nil && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		_, err = keys.Get(ctx, "link."+id.String())
	}
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("the link's key is there still: %v", err)
	}
}
