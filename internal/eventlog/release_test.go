package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/eventlog"
	"outlink/internal/testenv"
)

// However the log is read, to the end, into an error or cancelled, no consumer
// stays behind on the server.
func TestReadersLeaveNothingBehind(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	key, stop := domain.Key{Link: uuid.New()}, errors.New("stop")
	at, err := n.Commands.Links.Append(t.Context(), key, commands.Loaded[link.State]{}, created("crm"), meta())
	for range 5 {
		if err == nil {
			at, err = n.Commands.Links.Append(t.Context(), key, at, link.Disabled{}, meta())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	stream, err := n.Feed.JS.Stream(t.Context(), n.Namespace.Events())
	if err != nil {
		t.Fatal(err)
	}
	subject := n.Namespace.LinkEvents(key.Link)
	reads := map[string]func(ctx context.Context, cancel func()) error{
		"range": func(ctx context.Context, _ func()) error { _, err := n.Feed.Range(ctx, nil, 0, 3); return err },
		"place": func(ctx context.Context, _ func()) error {
			_, err := n.Feed.At(ctx, time.Now().Add(-time.Hour))
			return err
		},
		"history": func(ctx context.Context, _ func()) error { return eventlog.History(ctx, stream, nil, subject, nothing) },
		"error": func(ctx context.Context, _ func()) error {
			return n.Feed.Follow(ctx, 0, func(context.Context, []domain.Record) error { return stop })
		},
		"cancelled": func(ctx context.Context, cancel func()) error {
			return n.Feed.Follow(ctx, 0, func(context.Context, []domain.Record) error { cancel(); return nil })
		},
		"changes": func(ctx context.Context, cancel func()) error {
			return n.Feed.Changes(ctx, func(uint64) { cancel() }, func(domain.Key, uint64) {})
		},
	}
	before := consumers(t, stream)
	for name, read := range reads {
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			err := read(ctx, cancel)
			cancel()
			if err != nil && !errors.Is(err, stop) && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if now := consumers(t, stream); now != before {
			t.Errorf("%s: %d consumers are left behind", name, now-before)
			before = now
		}
	}
}

func nothing(domain.Record) error { return nil }

func consumers(t *testing.T, stream jetstream.Stream) int {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Consumers
}

// A place in the log is found by the events' own times, whenever the stream got
// them, and past messages without one.
func TestAt(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i := range 5 {
		m := meta()
		m.Time = noon.Add(time.Duration(i) * time.Hour)
		if _, err := n.Commands.Links.Append(t.Context(), domain.Key{Link: uuid.New()}, commands.Loaded[link.State]{}, created(fmt.Sprint(i)), m); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			junk(t, server.URL(), n.Namespace.LinkEvents(uuid.New())) // sequence 4
		}
	}
	for _, tt := range []struct {
		at   time.Duration
		want uint64
	}{{-time.Hour, 0}, {-time.Nanosecond, 0}, {0, 1}, {90 * time.Minute, 2}, {2 * time.Hour, 3}, {3 * time.Hour, 5}, {4 * time.Hour, 6}, {100 * time.Hour, 6}} {
		if got, err := n.Feed.At(t.Context(), noon.Add(tt.at)); err != nil || got != tt.want {
			t.Errorf("at noon and %s the log is at %d, %v; want %d", tt.at, got, err, tt.want)
		}
	}
}

// junk puts a message into the log that is no event.
func junk(t *testing.T, url, subject string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Request(subject, []byte("junk"), time.Second); err != nil {
		t.Fatal(err)
	}
}
