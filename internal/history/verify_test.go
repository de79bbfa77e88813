package history_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/eventlog"
	"outlink/internal/history"
	"outlink/internal/node"
	"outlink/internal/testenv"
)

// appended is a link of some events.
func appended(t *testing.T, n *node.Node, events ...link.Event) domain.Key {
	t.Helper()
	key, at := domain.Key{Link: uuid.New()}, commands.Loaded[link.State]{}
	for _, e := range events {
		var err error
		if at, err = n.Commands.Links.Append(t.Context(), key, at, e, commands.Meta{CommandID: uuid.New(), Actor: "tester", Time: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

func created(name string) link.Event {
	return link.Created{Config: link.Config{
		Name: name, Provider: "custom", Scopes: []string{"a"}, ClientID: "c", AuthStyle: link.Basic,
		AuthorizationEndpoint: "https://a.example/a", TokenEndpoint: "https://a.example/t", RedirectURL: "https://o.example/c",
	}, At: time.Now().UTC()}
}

// publish puts a message into the log past all rules.
func publish(t *testing.T, url string, m *nats.Msg) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.RequestMsg(m, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

// Messages that are no events are problems of the log like others, with the key
// and without, and what comes after them is looked at, too.
func TestVerifyListsTheUnreadable(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	for _, name := range []string{"a", "b"} {
		appended(t, n, created(name))
		publish(t, server.URL(), &nats.Msg{Subject: n.Namespace.LinkEvents(uuid.New()), Data: []byte("junk")})
	}
	for says, guard := range map[string]*eventlog.Guard{"MAC": n.Feed.Guard, "is no event": nil} {
		n.Feed.Guard = guard
		report, err := history.Verify(t.Context(), n.Feed, nil)
		if err != nil || report.Events != 2 || report.Head != 4 || len(report.Problems) != 2 {
			t.Fatalf("%+v, %v", report, err)
		}
		for i, p := range report.Problems {
			if p.Sequence != uint64(2*i+2) || !strings.Contains(p.Problem, says) {
				t.Errorf("problem %d: %+v, want %q", i, p, says)
			}
		}
	}
}

// An event that fits in everything but its MAC shows with the key only, and the
// next genuine one makes no problem more.
func TestVerifyChecksMACs(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	key := appended(t, n, created("a"))
	publish(t, server.URL(), forged(t, n, key, link.Disabled{Reason: "forged"}))
	at, err := n.Commands.Links.Load(t.Context(), key)
	if err == nil {
		_, err = n.Commands.Links.Append(t.Context(), key, at, link.Disabled{Reason: "test"}, commands.Meta{CommandID: uuid.New(), Time: time.Now()})
	}
	if err != nil {
		t.Fatal(err)
	}
	report, err := history.Verify(t.Context(), n.Feed, nil)
	if err != nil || len(report.Problems) != 1 || report.Problems[0].Sequence != 2 || !strings.Contains(report.Problems[0].Problem, "MAC does not fit") {
		t.Errorf("with the key: %+v, %v", report, err)
	}
	n.Feed.Guard = nil
	if report, err := history.Verify(t.Context(), n.Feed, nil); err != nil || len(report.Problems) == 0 || report.Problems[0].Sequence != 3 {
		t.Errorf("without the key the forged event passes, and the genuine one after it does not: %+v, %v", report, err)
	}
}

// forged is the event that a node would append next, with a MAC of another key.
func forged(t *testing.T, n *node.Node, key domain.Key, e link.Event) *nats.Msg {
	t.Helper()
	log, _ := n.Commands.Links.(eventlog.Log[link.State, link.Event])
	at, err := log.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	caught := &catcher{Publisher: log.JS}
	log.JS, log.Guard = caught, &eventlog.Guard{Keys: func(ctx context.Context) ([]eventlog.Key, error) {
		keys, err := n.Feed.Guard.Keys(ctx)
		keys[0].Secret = domain.NewSecret("a guess")
		return keys, err
	}}
	if _, err := log.Append(t.Context(), key, at, e, commands.Meta{CommandID: uuid.New(), Actor: "tester", Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return caught.last
}

// catcher keeps a message instead of publishing it.
type catcher struct {
	eventlog.Publisher
	last *nats.Msg
}

func (c *catcher) PublishMsg(_ context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	c.last = m
	return &jetstream.PubAck{}, nil
}

// The list of a moment reads no further than that: what is wrong later does no
// harm.
func TestLinksAtStopsAtTheMoment(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	key := appended(t, n, created("a"), link.Disabled{Reason: "test"})
	publish(t, server.URL(), &nats.Msg{Subject: n.Namespace.LinkEvents(uuid.New()), Data: []byte("junk")})
	rows, err := history.LinksAt(t.Context(), n.Feed, history.Moment{Sequence: 1})
	if err != nil || len(rows) != 1 || rows[0].Link != key.Link || rows[0].State.Status() != link.StatusActive {
		t.Errorf("%+v, %v", rows, err)
	}
	if rows, err := history.LinksAt(t.Context(), n.Feed, history.Moment{}); err != nil || len(rows) != 1 {
		t.Errorf("with the key: %+v, %v", rows, err)
	}
	n.Feed.Guard = nil
	if _, err := history.LinksAt(t.Context(), n.Feed, history.Moment{}); err == nil {
		t.Error("an unreadable message was passed over")
	}
}
