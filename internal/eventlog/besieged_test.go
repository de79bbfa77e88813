package eventlog_test

import (
	"bytes"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/eventlog"
	"outlink/internal/node"
	"outlink/internal/testenv"
)

// besieged is a node whose log somebody without the key may write to.
type besieged struct {
	t *testing.T
	*node.Node
	links    eventlog.Log[link.State, link.Event]
	js       jetstream.JetStream
	stream   jetstream.Stream
	key      domain.Key // a link that was created, disabled and enabled
	attacked string     // its subject
	log      *alarms
}

// alarms is what a guard logged.
type alarms struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (a *alarms) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.b.Write(p)
}

func (a *alarms) lines() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(strings.Lines(a.b.String()))
}

func besiege(t *testing.T) *besieged {
	t.Helper()
	server := testenv.NATS(t)
	b := &besieged{t: t, Node: testenv.Node(t, server, t.TempDir(), "n"), key: domain.Key{Link: uuid.New()}, log: &alarms{}}
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if b.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	if b.stream, err = b.js.Stream(t.Context(), b.Namespace.Events()); err != nil {
		t.Fatal(err)
	}
	b.Feed.Guard = b.guard()
	b.links, _ = b.Commands.Links.(eventlog.Log[link.State, link.Event])
	b.links.Guard = b.Feed.Guard
	b.attacked = b.Namespace.LinkEvents(b.key.Link)
	b.append(b.key, created("crm"), link.Disabled{Reason: "test"}, link.Enabled{})
	return b
}

// guard is one that has seen nothing yet, as another node's.
func (b *besieged) guard() *eventlog.Guard {
	return &eventlog.Guard{Stream: b.stream, Keys: b.Feed.Guard.Keys, Log: slog.New(slog.NewJSONHandler(b.log, nil))}
}

func (b *besieged) append(key domain.Key, events ...link.Event) commands.Loaded[link.State] {
	b.t.Helper()
	at, err := b.links.Load(b.t.Context(), key)
	for _, e := range events {
		if err == nil {
			at, err = b.links.Append(b.t.Context(), key, at, e, meta())
		}
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return at
}

func (b *besieged) load() commands.Loaded[link.State] {
	b.t.Helper()
	log := b.links
	log.Guard = b.guard()
	at, err := log.Load(b.t.Context(), b.key)
	if err != nil {
		b.t.Fatal(err)
	}
	return at
}

// inject publishes as who has the right, and not the key.
func (b *besieged) inject(m *nats.Msg) uint64 {
	b.t.Helper()
	ack, err := b.js.PublishMsg(b.t.Context(), m)
	if err != nil || ack.Duplicate {
		b.t.Fatal(ack, err)
	}
	return ack.Sequence
}

// copied is the message at a sequence as it may be published again.
func (b *besieged) copied(sequence uint64) *nats.Msg {
	b.t.Helper()
	m, err := b.stream.GetMsg(b.t.Context(), sequence)
	if err != nil {
		b.t.Fatal(err)
	}
	h := maps.Clone(m.Header)
	for name := range h {
		if strings.HasPrefix(name, "Nats-") {
			delete(h, name) // what the server would check
		}
	}
	return &nats.Msg{Subject: m.Subject, Header: h, Data: m.Data}
}

// attacks are messages that somebody without the key can make of what is in the log.
func (b *besieged) attacks() map[string]*nats.Msg {
	state, again, unsigned, unknown := b.copied(3), b.copied(2), b.copied(3), b.copied(3)
	state.Header["Outlink-State"] = []string{strings.Replace(state.Header["Outlink-State"][0], "crm", "mine", 1)}
	moved := b.append(domain.Key{Link: uuid.New()}, created("other"))
	other := b.copied(moved.Sequence)
	other.Subject = b.attacked
	delete(unsigned.Header, "Outlink-MAC")
	unknown.Header["Outlink-MAC-Key"] = []string{"mine"}
	return map[string]*nats.Msg{
		"junk":                      {Subject: b.attacked, Data: []byte("junk")},
		"an event without a MAC":    unsigned,
		"a forged state":            state,
		"another link's event":      other,
		"an earlier event again":    again,
		"the last event again":      b.copied(3),
		"the MAC of an unknown key": unknown,
	}
}
