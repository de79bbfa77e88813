package eventlog_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/eventlog"
)

// What was written before there was a key is read as it was; what comes after it
// needs a MAC. A reader without keys takes everything.
func TestBoundary(t *testing.T) {
	b := besiege(t)
	old := b.links
	old.Guard = nil // as a node of before
	key := domain.Key{Link: uuid.New()}
	var at commands.Loaded[link.State]
	var err error
	for _, e := range []link.Event{created("old"), link.Disabled{}} {
		if at, err = old.Append(t.Context(), key, at, e, meta()); err != nil {
			t.Fatal(err)
		}
	}
	first := eventlog.Key{ID: "first", Since: at.Sequence - 1, Secret: domain.NewSecret("x")}
	upgraded := b.links
	upgraded.Guard = &eventlog.Guard{Stream: b.stream, Log: slog.New(slog.NewJSONHandler(b.log, nil)), Keys: func(context.Context) ([]eventlog.Key, error) { return []eventlog.Key{first}, nil }}
	if got, err := upgraded.Load(t.Context(), key); err != nil || got.Version != 1 || got.Foreign != at.Sequence {
		t.Errorf("behind the boundary: %+v, %v", got, err)
	}
	first.Since = at.Sequence
	upgraded.Guard = &eventlog.Guard{Stream: b.stream, Log: upgraded.Guard.Log, Keys: upgraded.Guard.Keys}
	if got, err := upgraded.Load(t.Context(), key); err != nil || got.Version != 2 || got.Foreign != 0 {
		t.Errorf("before the boundary: %+v, %v", got, err)
	}
	if got, err := old.Load(t.Context(), key); err != nil || got.Version != 2 {
		t.Errorf("without a key: %+v, %v", got, err)
	}
	if at, err = upgraded.Append(t.Context(), key, at, link.Enabled{}, meta()); err != nil {
		t.Fatal(err)
	}
	if got := b.back(upgraded, key); got != "3 2 1" {
		t.Errorf("from behind the boundary back: versions %s", got)
	}
}

// A key that cannot be read makes no message foreign: the reader waits.
func TestKeysOutOfReach(t *testing.T) {
	b := besiege(t)
	away := errors.New("away")
	log := b.links
	log.Guard = &eventlog.Guard{Stream: b.stream, Log: slog.New(slog.NewJSONHandler(b.log, nil)), Keys: func(context.Context) ([]eventlog.Key, error) { return nil, away }}
	if _, err := log.Load(t.Context(), b.key); !errors.Is(err, away) || domain.CodeOf(err) != domain.Unavailable {
		t.Errorf("loaded without keys: %v", err)
	}
	if _, err := log.Append(t.Context(), b.key, b.load(), link.Disabled{}, meta()); !errors.Is(err, away) {
		t.Errorf("appended without keys: %v", err)
	}
	feed := b.Feed
	feed.Guard = log.Guard
	if _, err := feed.Range(t.Context(), nil, 0, 10); !errors.Is(err, away) {
		t.Errorf("read without keys: %v", err)
	}
	if len(b.log.lines()) > 0 {
		t.Errorf("alarms: %v", b.log.lines())
	}
}

// A guard reads keys anew for one that it does not know; a retired one counts for
// what was written before.
func TestRotatedKeys(t *testing.T) {
	b := besiege(t)
	first := eventlog.Key{ID: "first", Secret: domain.NewSecret("1")}
	second := eventlog.Key{ID: "second", Secret: domain.NewSecret("2")}
	first.Since = 3
	keys := []eventlog.Key{first}
	with := func() eventlog.Log[link.State, link.Event] {
		log := b.links
		log.Guard = &eventlog.Guard{Stream: b.stream, Keys: func(context.Context) ([]eventlog.Key, error) { return slices.Clone(keys), nil }, Log: slog.New(slog.NewJSONHandler(b.log, nil))}
		return log
	}
	older := with()
	write := func(log eventlog.Log[link.State, link.Event], e link.Event) commands.Loaded[link.State] {
		t.Helper()
		at, err := log.Load(t.Context(), b.key)
		if err == nil {
			at, err = log.Append(t.Context(), b.key, at, e, meta())
		}
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	write(older, link.Disabled{}) // 4
	keys = append(keys, second)
	write(with(), link.Enabled{})                                                                    // 5
	if at, err := older.Load(t.Context(), b.key); err != nil || at.Version != 5 || at.Foreign != 0 { // it heard of no rotation
		t.Errorf("written with the new key: %+v, %v", at, err)
	}
	keys = []eventlog.Key{first}
	stale := with()
	write(stale, link.Disabled{}) // 6
	keys = []eventlog.Key{first, second}
	keys[0].Until = 5
	if at, err := with().Load(t.Context(), b.key); err != nil || at.Version != 5 || at.Foreign != 6 {
		t.Errorf("written with a retired key: %+v, %v", at, err)
	}
}
