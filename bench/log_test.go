package bench

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
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
	w := newWriter(b, js, stream, guard)
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

// writer appends events as nodes do, but decides nothing.
type writer struct {
	testing.TB
	links  eventlog.Log[link.State, link.Event]
	grants eventlog.Log[grant.State, grant.Event]
	states map[domain.Key]commands.Loaded[grant.State]
	at     time.Time
}

func newWriter(b testing.TB, js jetstream.JetStream, stream jetstream.Stream, guard *eventlog.Guard) *writer {
	logs := eventlog.Logs{JS: &sender{js: js}, Stream: stream, Guard: guard, Namespace: bus.DefaultNamespace}
	return &writer{
		TB: b, links: logs.Links(), grants: logs.Grants(),
		states: map[domain.Key]commands.Loaded[grant.State]{},
		at:     time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	}
}

// sender does not wait for the stream, which nobody else writes.
type sender struct {
	js   jetstream.JetStream
	last uint64
}

func (s *sender) PublishMsg(_ context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	_, err := s.js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute))
	s.last++
	return &jetstream.PubAck{Sequence: s.last}, err
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
		appendTo(w, w.links, domain.Key{Link: ids[i]}, commands.Loaded[link.State]{}, link.Event(link.Created{Config: link.Config{
			Name: fmt.Sprintf("link %d", i), Provider: []string{"google", "microsoft", "custom"}[i%3], ClientID: "client", Scopes: []string{"a", "b"},
			AuthorizationEndpoint: "https://op.example/authorize", TokenEndpoint: "https://op.example/token", AuthStyle: link.Basic,
			RedirectURL: "https://outlink.example/oauth/callback/" + ids[i].String(),
		}, At: w.at}))
	}
	for n := links; n < events; n += 2 {
		whose, which := r.IntN(links), r.IntN(grantsPerLink)
		if turn := n / 2; *inOrder {
			whose, which = turn%links, turn/links%grantsPerLink
		}
		subject := fmt.Sprintf("user%d", which)
		key := domain.Key{Link: ids[whose], Grant: grant.ID(ids[whose], subject)}
		at := w.states[key]
		generation, attempt := at.State.Generation+1, uuid.Must(uuid.NewV7())
		at = appendTo(w, w.grants, key, at, grant.Event(grant.RefreshStarted{Attempt: attempt, Generation: generation, Node: "node-1", LeaseSeconds: 240, At: w.at}))
		w.states[key] = appendTo(w, w.grants, key, at, grant.Event(grant.TokenIssued{
			Exchange: attempt, Subject: subject, Cause: grant.ByRefresh, Generation: generation, From: generation - 1, TokenType: "Bearer", Scopes: []string{"a", "b"},
			ReceivedAt: w.at, ExpiresAt: w.at.Add(time.Hour), RefreshAt: w.at.Add(40 * time.Minute), Refreshable: true, Rotated: true, RefreshTokenHash: "0123456789abcdef", ClientID: "client",
		}))
	}
}

func appendTo[S, E any](w *writer, to eventlog.Log[S, E], key domain.Key, after commands.Loaded[S], e E) commands.Loaded[S] {
	w.at = w.at.Add(time.Millisecond)
	next, err := to.Append(context.Background(), key, after, e, commands.Meta{
		CommandID: uuid.Must(uuid.NewV7()), Actor: "node:node-1/refresh", Correlation: key.Link.String(), Time: w.at,
	})
	if err != nil {
		w.Fatal(err)
	}
	return next
}
