package eventlog

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/bus"
)

// A message that is larger than what a reader has the server send ahead comes all
// the same, and so does what is behind it.
func TestLargestMessage(t *testing.T) {
	large, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), MaxPayload: 2 * pullBytes, MaxPending: 8 * pullBytes, NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	large.Start()
	t.Cleanup(large.WaitForShutdown)
	t.Cleanup(large.Shutdown)
	if !large.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	s := &site{T: t}
	s.connect(large.ClientURL())
	for _, size := range []int{1, pullBytes + pullBytes/2, 1} {
		e := envelope{id: uuid.New(), typ: link.Kinds.Type(link.Created{}), version: 1, meta: commands.Meta{Time: time.Now()}}
		m := &nats.Msg{Subject: bus.DefaultNamespace.LinkEvents(uuid.New()), Header: e.header(), Data: bytes.Repeat([]byte(" "), size)}
		if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	read, all := 0, errors.New("all")
	err = Feed{JS: s.js, Namespace: bus.DefaultNamespace}.Follow(ctx, 0, func(_ context.Context, batch []domain.Record) error {
		if read += len(batch); read == 3 {
			return all
		}
		return nil
	})
	if !errors.Is(err, all) {
		t.Errorf("%d of 3 events came: %v", read, err)
	}
}
