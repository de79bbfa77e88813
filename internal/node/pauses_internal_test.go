package node

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain/answer"
	"outlink/domain/notice"
	"outlink/internal/bus"
	"outlink/internal/natsd"
	"outlink/workers/notify"
	"outlink/workers/pace"
)

// A host that asks one node to be left alone is left alone by the others too,
// and by a node that starts later.
func TestPausesAreShared(t *testing.T) {
	js := declared(t)
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

// A node that comes up just when its server goes away waits for it, and does not end.
func TestPausesWaitForTheServer(t *testing.T) {
	dir := t.TempDir()
	server, err := natsd.Start(dir, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := server.URL()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, _ := jetstream.New(nc, jetstream.WithDefaultTimeout(200*time.Millisecond))
	if err := bus.Declare(t.Context(), js, bus.DefaultNamespace, 1); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	var log bytes.Buffer
	made := make(chan error, 1)
	go func() {
		p, err := newPauses(t.Context(), js, bus.DefaultNamespace.Pauses(), slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil {
			err = p.watch.Stop()
		}
		made <- err
	}()
	select {
	case err := <-made:
		t.Fatal("it did not wait: ", err)
	case <-time.After(time.Second): // long enough to have asked in vain
	}
	if server, err = natsd.Start(dir, strings.TrimPrefix(url, "nats://")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	select {
	case err := <-made:
		if err != nil || !strings.Contains(log.String(), "NATS does not answer") {
			t.Errorf("%v; it said: %s", err, &log)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not come back")
	}
	if _, err := newPauses(t.Context(), js, "no-such-bucket", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "outlink migrate") {
		t.Errorf("a bucket that does not exist: %v", err)
	}
}

// declared is a server with everything that a namespace has.
func declared(t *testing.T) jetstream.JetStream {
	t.Helper()
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
	return js
}

// A window changes only for who has seen it as it is.
func TestWindowsAreFenced(t *testing.T) {
	kv, err := declared(t).KeyValue(t.Context(), bus.DefaultNamespace.Windows())
	if err != nil {
		t.Fatal(err)
	}
	s, w := windows{kv}, notify.Window{Topic: notify.Topic{Link: uuid.New(), Kind: notice.LinkDegraded}, First: 7}
	for round := range 2 { // the second time after it was dropped
		if err := s.Store(t.Context(), w, 0); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		got, revision, err := s.Load(t.Context(), w.Topic)
		if err != nil || got.First != 7 {
			t.Fatalf("loaded %+v, %v", got, err)
		}
		all, err := s.All(t.Context())
		if err != nil || len(all) != 1 || all[0] != w.Topic {
			t.Errorf("all: %v, %v", all, err)
		}
		if err := s.Store(t.Context(), w, revision); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"made twice": s.Store(t.Context(), w, 0), "changed late": s.Store(t.Context(), w, revision), "dropped late": s.Drop(t.Context(), w.Topic, revision),
		} {
			if !errors.Is(err, commands.ErrOvertaken) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := s.Drop(t.Context(), w.Topic, revision+1); err != nil {
			t.Fatal(err)
		}
	}
}
