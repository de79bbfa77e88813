package timers_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/natsd"
)

// open connects to a server that stores under dir, with the streams declared.
func open(t *testing.T, dir string) (s *natsd.Server, schedules eventlog.Schedules) {
	t.Helper()
	s, err := natsd.Start(dir, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := bus.Declare(t.Context(), js, bus.DefaultNamespace, 1); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), bus.DefaultNamespace.Timers())
	if err != nil {
		t.Fatal(err)
	}
	return s, eventlog.Schedules{JS: js, Timers: stream, Namespace: bus.DefaultNamespace}
}

// fired waits for the next wake-up.
func fired(t *testing.T, s eventlog.Schedules) string {
	t.Helper()
	consumer, err := s.Timers.Consumer(t.Context(), bus.RefreshConsumer)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(20 * time.Second))
	if err != nil {
		t.Fatal("nothing fired:", err)
	}
	_ = msg.Ack()
	return msg.Subject()
}

// A schedule outlives a restart of the server, also one whose time comes while
// the server is away.
func TestSchedulesSurviveARestart(t *testing.T) {
	dir, link := t.TempDir(), uuid.New()
	away, later := domain.Key{Link: link, Grant: uuid.New()}, domain.Key{Link: link, Grant: uuid.New()}
	server, s := open(t, dir)
	at := time.Now().Add(3 * time.Second)
	for key, at := range map[domain.Key]time.Time{away: time.Now().Add(200 * time.Millisecond), later: at} {
		if err := s.Set(t.Context(), key, at); err != nil {
			t.Fatal(err)
		}
	}
	server.Stop()
	_, s = open(t, dir)
	if got, want := fired(t, s), s.Namespace.Expiring(away.Link, away.Grant); got != want {
		t.Errorf("%s fired first, want %s", got, want)
	}
	if got, want := fired(t, s), s.Namespace.Expiring(later.Link, later.Grant); got != want || time.Now().Before(at) {
		t.Errorf("%s fired at %s, want %s at %s", got, time.Now(), want, at)
	}
}
