package node

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain/answer"
	"outlink/internal/bus"
	"outlink/internal/natsd"
	"outlink/workers/pace"
)

// A host that asks one node to be left alone is left alone by the others too,
// and by a node that starts later.
func TestPausesAreShared(t *testing.T) {
	server, err := natsd.Start(t.TempDir(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, _ := jetstream.New(nc)
	if err := bus.Declare(t.Context(), js, bus.DefaultNamespace, 1); err != nil {
		t.Fatal(err)
	}
	open := func() *pauses {
		p, err := newPauses(t.Context(), js, bus.DefaultNamespace.Pauses(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		go p.run(t.Context())
		return p
	}
	asked, other := open(), open()
	request := func(p *pauses) (func(answer.Class, time.Duration), time.Duration) {
		return p.gates.Enter(pace.Request{Host: "op.example:443", Client: "c", Grant: uuid.New()})
	}
	done, _ := request(asked)
	done(answer.Ambiguous, 2*time.Minute)
	closed := func(p *pauses) bool {
		done, wait := request(p)
		if wait == 0 {
			done("", 0)
		}
		return wait > time.Minute
	}
	for deadline := time.Now().Add(10 * time.Second); !closed(other); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the other node asks on")
		}
	}
	if !closed(open()) {
		t.Error("a node that starts later asks")
	}
}
