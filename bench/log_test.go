package bench

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
)

// history is a log that was filled once for a measurement: links with twenty
// grants each, whose tokens are renewed again and again.
type history struct {
	feed   eventlog.Feed
	js     jetstream.JetStream
	events int
	last   uint64
}

// newHistory fills a log on a server of its own, which does not sync: the log is
// read here, not kept.
func newHistory(b testing.TB, links, events int) history {
	b.Helper()
	nc, err := nats.Connect(ownServer(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		b.Fatal(err)
	}
	if err := bus.Declare(context.Background(), js, bus.DefaultNamespace, 1); err != nil {
		b.Fatal(err)
	}
	stream, err := js.Stream(context.Background(), bus.DefaultNamespace.Events())
	if err != nil {
		b.Fatal(err)
	}
	guard := &eventlog.Guard{Stream: stream, Log: slog.New(slog.DiscardHandler), Keys: func(context.Context) ([]eventlog.Key, error) {
		return []eventlog.Key{{ID: "bench", Secret: domain.NewSecret("a key of a benchmark")}}, nil
	}}
	h := history{feed: eventlog.Feed{JS: js, Namespace: bus.DefaultNamespace, Guard: guard}, js: js, events: events}
	to, err := h.feed.Restorer(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	w := writer{TB: b, to: to, versions: map[uuid.UUID]uint64{}, at: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	w.fill(links, events)
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		b.Fatal("the log takes too long")
	}
	if h.last, err = h.feed.Last(context.Background()); err != nil {
		b.Fatal(err)
	}
	return h
}

type writer struct {
	testing.TB
	to       *eventlog.Restorer
	versions map[uuid.UUID]uint64
	at       time.Time
}

const grantsPerLink = 20

// inOrder is how grants are renewed that were issued evenly over time. Then the
// one that is renewed is the next of its link to expire, each time.
var inOrder = flag.Bool("in-order", false, "renew one grant after the other, instead of any of them")

func (w *writer) fill(links, events int) {
	r := rand.New(rand.NewPCG(1, 2))
	ids := make([]uuid.UUID, links)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
		w.write(ids[i], uuid.Nil, link.Kinds.Type(link.Created{}), link.Created{Config: link.Config{
			Name: fmt.Sprintf("link %d", i), Provider: []string{"google", "microsoft", "custom"}[i%3], ClientID: "client", Scopes: []string{"a", "b"},
			AuthorizationEndpoint: "https://op.example/authorize", TokenEndpoint: "https://op.example/token", AuthStyle: link.Basic,
			RedirectURL: "https://outlink.example/oauth/callback/" + ids[i].String(),
		}, At: w.at})
	}
	for n := links; n < events; n += 2 {
		whose, which := r.IntN(links), r.IntN(grantsPerLink)
		if turn := n / 2; *inOrder {
			whose, which = turn%links, turn/links%grantsPerLink
		}
		id, subject := ids[whose], fmt.Sprintf("user%d", which)
		g := grant.ID(id, subject)
		generation := w.versions[g]/2 + 1
		attempt := uuid.Must(uuid.NewV7())
		w.write(id, g, grant.Kinds.Type(grant.RefreshStarted{}), grant.RefreshStarted{Attempt: attempt, Generation: generation, Node: "node-1", LeaseSeconds: 240, At: w.at})
		w.write(id, g, grant.Kinds.Type(grant.TokenIssued{}), grant.TokenIssued{
			Exchange: attempt, Subject: subject, Cause: grant.ByRefresh, Generation: generation, From: generation - 1, TokenType: "Bearer", Scopes: []string{"a", "b"},
			ReceivedAt: w.at, ExpiresAt: w.at.Add(time.Hour), RefreshAt: w.at.Add(40 * time.Minute), Refreshable: true, Rotated: true, RefreshTokenHash: "0123456789abcdef", ClientID: "client",
		})
	}
}

func (w *writer) write(linkID, grantID uuid.UUID, typ string, e any) {
	id := linkID
	if grantID != uuid.Nil {
		id = grantID
	}
	w.versions[id]++
	w.at = w.at.Add(time.Millisecond)
	data, err := json.Marshal(e)
	if err != nil {
		w.Fatal(err)
	}
	_, err = w.to.Append(context.Background(), domain.Record{
		ID: uuid.Must(uuid.NewV7()), Type: typ, Time: w.at, Actor: "node:node-1/refresh", Link: linkID, Grant: grantID, Version: w.versions[id],
		Correlation: id.String(), Causation: id.String(), Hash: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", Data: data,
	})
	if err != nil {
		w.Fatal(err)
	}
}
