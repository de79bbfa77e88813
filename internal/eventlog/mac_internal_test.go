package eventlog

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
)

// sealed is an event with every header that there is, and a key that made its MAC.
func sealed() (message, Key) {
	key := Key{ID: "one", Secret: domain.NewSecret("a secret")}
	m := &nats.Msg{Subject: "outlink.events.link.a", Data: []byte(`{"name":"crm"}`), Header: envelope{
		id: uuid.New(), typ: "outlink.link.created.v1", source: "outlink", subject: "a", version: 3, hash: "00ff", state: []byte(`{"version":3}`), stateVersion: 1,
		meta: commands.Meta{CommandID: uuid.New(), Actor: "user:anna", Correlation: "c", Traceparent: "00-1", Time: time.Now()},
	}.header()}
	key.seal(m, "7")
	return message{m.Subject, 9, m.Header, m.Data}, key
}

// A MAC fits the message that it was made for, and none that differs in anything
// that a reader goes by.
func TestMACCoversWhatIsRead(t *testing.T) {
	m, key := sealed()
	if len(m.header) != len(covered)+1 {
		t.Fatalf("the event has %d headers, and the MAC covers %d of them beside its own", len(m.header), len(covered))
	}
	if !key.made(m) {
		t.Fatal("the MAC does not fit its own message")
	}
	alter := map[string]func(*message){
		"subject":             func(m *message) { m.subject += "b" },
		"body":                func(m *message) { m.data = []byte(`{"name":"crn"}`) },
		"no body":             func(m *message) { m.data = nil },
		"a value moved along": func(m *message) { swap(m.header, headerActor, headerCorrelation) },
	}
	for name := range m.header {
		alter["header "+name] = func(m *message) { m.header[name] = []string{get(m.header, name) + "x"} }
		alter["no header "+name] = func(m *message) { delete(m.header, name) }
	}
	for what, change := range alter {
		m, key := sealed()
		if change(&m); key.made(m) {
			t.Errorf("%s: the MAC still fits", what)
		}
	}
	if (Key{ID: "one", Secret: domain.NewSecret("another")}).made(m) {
		t.Error("another key made the same MAC")
	}
}

func swap(h nats.Header, a, b string) { h[a], h[b] = h[b], h[a] }

func BenchmarkMAC(b *testing.B) {
	m, key := sealed()
	state := make([]byte, 1500)
	for i := range state {
		state[i] = 'x'
	}
	m.header[headerState] = []string{string(state)}
	key.seal(&nats.Msg{Subject: m.subject, Header: m.header, Data: m.data}, "7")
	for b.Loop() {
		if !key.made(m) {
			b.Fatal("the MAC does not fit")
		}
	}
}
