package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
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

// Messages that are no events are problems of the log like others, and what
// comes after them is looked at, too.
func TestVerifyListsTheUnreadable(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	for _, name := range []string{"a", "b"} {
		appended(t, n, created(name))
		publish(t, server.URL(), &nats.Msg{Subject: n.Namespace.LinkEvents(uuid.New()), Data: []byte("junk")})
	}
	report, err := history.Verify(t.Context(), n.Feed, nil)
	if err != nil || report.Events != 2 || report.Head != 4 || len(report.Problems) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	for i, p := range report.Problems {
		if p.Sequence != uint64(2*i+2) || !strings.Contains(p.Problem, "is no event") {
			t.Errorf("problem %d: %+v", i, p)
		}
	}
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
	if _, err := history.LinksAt(t.Context(), n.Feed, history.Moment{}); err == nil {
		t.Error("an unreadable message was passed over")
	}
}
