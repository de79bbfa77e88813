package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/bus"
	"outlink/internal/testenv"
)

func meta() commands.Meta {
	return commands.Meta{CommandID: uuid.New(), Actor: "tester", Time: time.Now()}
}

func created(name string) link.Created {
	return link.Created{Config: link.Config{Name: name, Provider: "custom", Scopes: []string{"a"}}, At: time.Now().UTC()}
}

// The state comes with the last message, and equals the folded history.
func TestLoadWhatWasAppended(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	key := domain.Key{Link: uuid.New()}
	at, err := n.Commands.Links.Load(t.Context(), key)
	if err != nil || at.Version != 0 {
		t.Fatalf("a link without events loads as version %d, %v", at.Version, err)
	}
	for _, e := range []link.Event{created("crm"), link.Disabled{Reason: "test"}, link.Enabled{}} {
		if at, err = n.Commands.Links.Append(t.Context(), key, at, e, meta()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := n.Commands.Links.Load(t.Context(), key)
	if err != nil || got.Version != 3 || got.Sequence != at.Sequence || got.State.Name != "crm" || got.State.Status() != link.StatusActive {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

// Of many writers who append after the same event exactly one succeeds; the
// others learn that they were overtaken.
func TestOneWriterWins(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	for round := range 20 {
		key := domain.Key{Link: uuid.New()}
		start := make(chan struct{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		won, overtaken := 0, 0
		for i := range 8 {
			wg.Go(func() {
				<-start
				_, err := n.Commands.Links.Append(t.Context(), key, commands.Loaded[link.State]{}, created(fmt.Sprint(i)), meta())
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.Is(err, commands.ErrOvertaken):
					overtaken++
				default:
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if won != 1 || overtaken != 7 {
			t.Fatalf("round %d: %d won and %d were overtaken, want 1 and 7", round, won, overtaken)
		}
	}
}

// The feed delivers events in order and stops at a message that is no event,
// unless it can tell that it is foreign.
func TestFollow(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	for i := range 3 {
		key := domain.Key{Link: uuid.New()}
		if _, err := n.Commands.Links.Append(t.Context(), key, commands.Loaded[link.State]{}, created(fmt.Sprint(i)), meta()); err != nil {
			t.Fatal(err)
		}
	}
	done := errors.New("done")
	var names []string
	follow := func(after uint64) error {
		names = nil
		return n.Feed.Follow(t.Context(), after, func(_ context.Context, batch []domain.Record) error {
			for _, r := range batch {
				e, err := link.Kinds.Decode(r.Type, r.Data)
				if err != nil {
					return err
				}
				names = append(names, e.(link.Created).Name)
				if r.Sequence == 3 {
					return done
				}
			}
			return nil
		})
	}
	if err := follow(0); !errors.Is(err, done) || fmt.Sprint(names) != "[0 1 2]" {
		t.Errorf("from the start: %v, %v", names, err)
	}
	if err := follow(1); !errors.Is(err, done) || fmt.Sprint(names) != "[1 2]" {
		t.Errorf("after 1: %v, %v", names, err)
	}
	junk(t, server.URL(), n.Namespace.LinkEvents(uuid.New()))
	n.Feed.Guard = nil
	var bad *domain.UnreadableError
	if err := follow(3); !errors.As(err, &bad) || bad.Sequence != 4 {
		t.Errorf("a message that is no event was passed over: %v", err)
	}
	delivered := 0
	err := n.Feed.Follow(t.Context(), 0, func(_ context.Context, batch []domain.Record) error { delivered += len(batch); return nil })
	if !errors.As(err, &bad) || delivered != 3 {
		t.Errorf("%d events before the message that is none were delivered, want 3: %v", delivered, err)
	}
}

// A reader without a key may have what has not the form of an event left out: it
// then hears of its place. What has the form of one stops it as ever.
func TestFollowTellsOfJunk(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n")
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	subject := n.Namespace.LinkEvents(uuid.New())
	junk(t, server.URL(), subject)
	later := nats.NewMsg(subject)
	later.Header["ce-id"], later.Header["ce-type"], later.Header["Outlink-MAC"] = []string{uuid.NewString()}, []string{"outlink.link.created.v9"}, []string{"x"}
	if _, err := nc.RequestMsg(later, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	var left, places []uint64
	n.Feed.Guard, n.Feed.Junk = nil, func(r domain.Record) { left = append(left, r.Sequence) }
	err = n.Feed.Follow(t.Context(), 0, func(_ context.Context, batch []domain.Record) error {
		for _, r := range batch {
			if r.Foreign != "" {
				places = append(places, r.Sequence)
			}
		}
		return nil
	})
	var bad *domain.UnreadableError
	if !errors.As(err, &bad) || bad.Sequence != 2 || fmt.Sprint(left, places) != "[1] [1]" {
		t.Errorf("told of %v, handed over %v: %v", left, places, err)
	}
}

// A schedule fires once its time has come; a cancelled one does not.
func TestSchedules(t *testing.T) {
	server := testenv.NATS(t)
	n := testenv.Node(t, server, t.TempDir(), "n", "refresh")
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	key, cancelled := domain.Key{Link: uuid.New(), Grant: uuid.New()}, domain.Key{Link: uuid.New(), Grant: uuid.New()}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), n.Namespace.Timers(), bus.RefreshConsumer)
	if err != nil {
		t.Fatal(err)
	}
	fired := make(chan string, 4)
	consuming, err := consumer.Consume(func(m jetstream.Msg) { fired <- m.Subject() })
	if err != nil {
		t.Fatal(err)
	}
	defer consuming.Stop()
	s, at := n.Schedules(), time.Now().Add(1500*time.Millisecond)
	if err := errors.Join(s.Set(t.Context(), cancelled, at), s.Set(t.Context(), key, at.Add(-time.Second)), s.Set(t.Context(), key, at), s.Cancel(t.Context(), cancelled)); err != nil {
		t.Fatal(err)
	}
	select {
	case subject := <-fired:
		if subject != n.Namespace.Expiring(key.Link, key.Grant) || time.Now().Before(at) {
			t.Errorf("%s fired at %s, want %s at %s", subject, time.Now(), key, at)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the schedule did not fire")
	}
}
