package sweep_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/node"
	"outlink/internal/testenv"
	"outlink/workers/sweep"
	"outlink/workers/timers"
)

// imported is a link with a grant whose token is renewed in about two seconds.
func imported(t *testing.T, n *node.Node) domain.Key {
	t.Helper()
	link, err := n.Commands.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()},
		Draft: commands.Draft{
			Name: "crm", Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: "none",
			AuthorizationEndpoint: "http://127.0.0.1:1/authorize", TokenEndpoint: "http://127.0.0.1:1/token",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := n.Commands.RecordTokenIssued(t.Context(), commands.RecordTokenIssued{
		Header: commands.Header{CommandID: uuid.New()}, Link: link.Link, ExpiresAt: time.Now().Add(4 * time.Second),
		AccessToken: domain.SecretInput{Clear: domain.NewSecret("a")}, RefreshToken: domain.SecretInput{Clear: domain.NewSecret("r")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return domain.Key{Link: out.Link, Grant: out.Grant}
}

// A schedule that is lost from the stream is late, and not lost: the sweep finds
// the grant in the read model and wakes it.
func TestLostScheduleIsReArmed(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n", node.RoleProjections)
	go func() { _ = n.Run(t.Context(), func() {}) }()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), n.Namespace.Timers())
	if err != nil {
		t.Fatal(err)
	}
	key := imported(t, n)
	timer := n.Namespace.Timer(key.Link, key.Grant)
	records, err := n.Feed.Range(t.Context(), nil, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&timers.Worker{Grants: n.Commands.Grants, Links: n.Commands.Links, Schedules: n.Schedules(), Now: time.Now}).Handle(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.GetLastMsgForSubject(t.Context(), timer); err != nil {
		t.Fatal("the grant has no schedule that could be lost:", err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(timer)); err != nil {
		t.Fatal(err)
	}
	w := &sweep.Worker{
		Read: n.Store(), Wake: n.Schedules().Set, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Held: func(context.Context, uuid.UUID) (bool, error) { return false, nil },
	}
	deadline := time.Now().Add(20 * time.Second)
	for woken := 0; woken == 0; {
		if woken, err = w.Sweep(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("the sweep finds nothing, %v", err)
		}
		time.Sleep(20 * time.Millisecond) // until the grant is due
	}
	consumer, err := stream.Consumer(t.Context(), bus.RefreshConsumer)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil || msg.Subject() != n.Namespace.Expiring(key.Link, key.Grant) {
		t.Fatalf("nobody woke the grant: %v", err)
	}
}
