package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
)

// Whatever somebody without the key puts behind a link's last event: every reader
// goes by the events, knows how far it came, and raises one alarm; and the next
// decision is appended (A22).
func TestForeignMessages(t *testing.T) {
	b := besiege(t)
	before := b.load()
	want, err := b.Feed.Range(t.Context(), []string{b.attacked}, 0, 100)
	if err != nil || len(want) != 3 {
		t.Fatalf("%d events, %v", len(want), err)
	}
	var places []uint64
	for what, m := range b.attacks() {
		at := b.inject(m)
		places = append(places, at)
		got := b.load()
		if got.Foreign != at || got.End() != at {
			t.Errorf("%s: the log was read up to %d, want %d", what, got.End(), at)
		}
		if got.Foreign = 0; fmt.Sprint(got) != fmt.Sprint(before) {
			t.Errorf("%s: loaded %+v, want %+v", what, got, before)
		}
	}
	b.reads(want, places)
	if at := b.append(b.key, link.Disabled{Reason: "after"}); at.Version != 4 {
		t.Errorf("the next event has version %d, want 4", at.Version)
	}
	if got := b.load(); got.Version != 4 || got.Foreign != 0 || !got.State.Paused {
		t.Errorf("after the next decision: %+v", got)
	}
	if got := b.back(b.links, b.key); got != "4 3 2 1" {
		t.Errorf("from the next decision back: versions %s", got)
	}
	for _, at := range places {
		if !slices.ContainsFunc(b.log.lines(), func(line string) bool {
			return strings.Contains(line, `"ERROR"`) && strings.Contains(line, fmt.Sprintf(`"sequence":%d,"subject":%q`, at, b.attacked))
		}) {
			t.Errorf("no alarm of message %d: %v", at, b.log.lines())
		}
	}
}

// back is the versions of a link's events, from the last one back.
func (b *besieged) back(log eventlog.Log[link.State, link.Event], key domain.Key) string {
	b.t.Helper()
	at, err := log.Load(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	var versions []string
	err = log.Back(b.t.Context(), key, at, func(r domain.Record) bool {
		versions = append(versions, fmt.Sprint(r.Version))
		return false
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Join(versions, " ")
}

// reads holds each way of reading against the events that are wanted, and the
// places of foreign messages that are to be passed.
func (b *besieged) reads(want []domain.Record, places []uint64) {
	b.t.Helper()
	ctx, last := b.t.Context(), slices.Max(places)
	feed := b.Feed
	feed.Guard = b.guard()
	var got []domain.Record
	take := func(r domain.Record) error { got = append(got, r); return nil }
	check := func(how string, err error) {
		b.t.Helper()
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			b.t.Errorf("%s: %d events, want %d: %v", how, len(got), len(want), err)
		}
		got = nil
	}
	var err error
	got, err = feed.Range(ctx, []string{b.attacked}, 0, 100)
	check("range", err)
	check("each", feed.Each(ctx, []string{b.attacked}, 0, last, take))
	check("history", eventlog.History(ctx, b.stream, b.guard(), b.attacked, take))
	check("durable", b.durable(last, take))
	for _, from := range []uint64{0, 2} { // the way from the beginning is remembered, that from elsewhere is not
		var passed []uint64
		err := feed.FollowSubjects(ctx, []string{b.attacked}, from, func(_ context.Context, batch []domain.Record) error {
			for _, r := range batch {
				if r.Foreign == "" && r.Sequence > 2 || from == 0 && r.Foreign == "" {
					got = append(got, r)
				} else if r.Foreign != "" {
					passed = append(passed, r.Sequence)
				}
			}
			if batch[len(batch)-1].Sequence == last {
				return eventlog.ErrStop
			}
			return nil
		})
		if slices.Sort(places); !errors.Is(err, eventlog.ErrStop) || fmt.Sprint(passed) != fmt.Sprint(places) || fmt.Sprint(got) != fmt.Sprint(want[from:]) {
			b.t.Errorf("followed after %d: foreign at %v, want %v; %d events; %v", from, passed, places, len(got), err)
		}
		got = nil
	}
}

// durable reads as a worker does, up to a message.
func (b *besieged) durable(last uint64, take func(domain.Record) error) error {
	_, err := b.js.CreateConsumer(b.t.Context(), b.Namespace.Events(), jetstream.ConsumerConfig{
		Durable: "test", FilterSubject: b.attacked, AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	return eventlog.Durable{
		JS: b.js, Stream: b.Namespace.Events(), Name: "test", Batch: 5, Guard: b.guard(), Log: slog.New(slog.DiscardHandler),
		Handle: func(_ context.Context, batch []domain.Record) error {
			for _, r := range batch {
				_ = take(r)
			}
			return nil
		},
		Foreign: func(_ context.Context, f eventlog.Foreign) error {
			if f.Link != b.key.Link || f.Reason == "" || f.At.IsZero() {
				b.t.Errorf("told of %+v", f)
			}
			if f.Sequence == last {
				cancel()
			}
			return nil
		},
	}.Run(ctx)
}

// A link that has foreign messages only does not exist, and can be created.
func TestForeignOnly(t *testing.T) {
	b := besiege(t)
	b.key = domain.Key{Link: uuid.New()}
	b.attacked = b.Namespace.LinkEvents(b.key.Link)
	for range 3 {
		b.inject(&nats.Msg{Subject: b.attacked, Data: []byte("junk")})
	}
	if at := b.load(); at.Version != 0 || at.State.Status() != link.StatusAbsent {
		t.Errorf("loaded %+v", at)
	}
	if at := b.append(b.key, created("late")); at.Version != 1 {
		t.Errorf("created as version %d", at.Version)
	}
	if at := b.load(); at.Version != 1 || at.State.Name != "late" {
		t.Errorf("then loaded %+v", at)
	}
}

// The last event is found behind more foreign messages than one look takes, and a
// state of another version is folded without them.
func TestFarBehindForeignMessages(t *testing.T) {
	b := besiege(t)
	for range 200 {
		b.inject(&nats.Msg{Subject: b.attacked, Data: []byte("junk")})
	}
	if at := b.load(); at.Version != 3 || at.State.Name != "crm" {
		t.Errorf("loaded %+v", at)
	}
	b.links.StateVersion = 99
	if at := b.load(); at.Version != 3 || at.State.Name != "crm" || at.State.Version != 3 {
		t.Errorf("folded %+v", at)
	}
}

// A foreign message that comes between loading and appending is no event: the
// writer is overtaken, and its next try succeeds.
func TestForeignMessageInBetween(t *testing.T) {
	b := besiege(t)
	at := b.load()
	b.inject(&nats.Msg{Subject: b.attacked, Data: []byte("junk")})
	if _, err := b.links.Append(t.Context(), b.key, at, link.Disabled{}, meta()); !errors.Is(err, commands.ErrOvertaken) {
		t.Errorf("appended to what was: %v", err)
	}
	if _, err := b.links.Append(t.Context(), b.key, b.load(), link.Disabled{}, meta()); err != nil {
		t.Error(err)
	}
}

// Who wrote an event knows it again, and no copy right behind it.
func TestOwnEventsAreKnown(t *testing.T) {
	b := besiege(t)
	own := b.append(b.key, link.Disabled{})
	copied := b.inject(b.copied(own.Sequence))
	if at, err := b.links.Load(t.Context(), b.key); err != nil || at.Sequence != own.Sequence || at.Foreign != copied {
		t.Errorf("loaded event %d with %d behind it, want %d and %d: %v", at.Sequence, at.Foreign, own.Sequence, copied, err)
	}
}

// The times of foreign messages mislead nobody who looks for a moment's place.
func TestForeignTimes(t *testing.T) {
	b := besiege(t)
	for range 4 {
		m := b.copied(3)
		m.Header["ce-time"] = []string{time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano)}
		b.inject(m)
	}
	last := b.append(b.key, link.Disabled{})
	if at, err := b.Feed.At(t.Context(), time.Now().Add(time.Minute)); err != nil || at != last.Sequence {
		t.Errorf("now the log is at %d, want %d: %v", at, last.Sequence, err)
	}
}
