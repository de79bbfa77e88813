package projections_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/projections"
	"outlink/projections/storetest"
)

// threeLinks is a log of three events in three batches.
func threeLinks() *storetest.Log {
	l := &storetest.Log{Batch: 1}
	for _, name := range []string{"a", "b", "c"} {
		l.Link(name, link.Created{Config: link.Config{Name: name}})
	}
	return l
}

func engineOn(m *memory, f projections.Feed) *projections.Engine {
	return &projections.Engine{Projection: projections.Links, Feed: f, Store: m, Log: slog.New(slog.DiscardHandler)}
}

var errDown = errors.New("the store is down")

// TestStoreIsDown: whatever the store fails at, the engine waits, ever longer,
// and goes on as soon as the store is back.
func TestStoreIsDown(t *testing.T) {
	for _, call := range []string{"position", "load", "apply"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, l, began := newMemory(), threeLinks(), time.Now()
				const outage = time.Minute
				tries := 0
				m.fail = func(c string) error {
					if c != call || time.Since(began) > outage {
						return nil
					}
					tries++
					return errDown
				}
				if err := engineOn(m, l).Run(t.Context()); err != nil {
					t.Fatal("run:", err)
				}
				if m.at.Sequence != l.Last() || len(m.links) != 3 {
					t.Errorf("the end is at %d with %d links", m.at.Sequence, len(m.links))
				}
				if tries < 8 || tries > 25 { // 50 ms to 10 s, each halved at most
					t.Errorf("it tried %d times in %v", tries, outage)
				}
				if late := time.Since(began) - outage; late > 10*time.Second {
					t.Errorf("it came back %v after the store did", late)
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	for failures, most := range map[int]time.Duration{1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 9: 10 * time.Second, 1000: 10 * time.Second} {
		for range 100 {
			if d := projections.Backoff(failures); d < most/2 || d > most {
				t.Errorf("after %d failures it waits %v, want %v to %v", failures, d, most/2, most)
			}
		}
	}
}

// TestFeedFails: the engine follows again from its checkpoint.
func TestFeedFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := newMemory(), threeLinks()
		var from []uint64
		breaking := feed(func(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
			from = append(from, after)
			if len(from) == 3 {
				return l.Follow(ctx, after, handle)
			}
			return errors.Join(handle(ctx, l.Records[len(from)-1:len(from)]), errors.New("the connection broke"))
		})
		if err := engineOn(m, breaking).Run(t.Context()); err != nil {
			t.Fatal("run:", err)
		}
		if m.at.Sequence != l.Last() || len(from) != 3 || from[1] != l.Records[0].Sequence || from[2] != l.Records[1].Sequence {
			t.Errorf("it followed from %v to %d", from, m.at.Sequence)
		}
	})
}

// TestEnd: Run ends with its context, whatever it is waiting for.
func TestEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		feed projections.Feed
		fail func(string) error
	}{
		"for events": {feed: feed(func(ctx context.Context, _ uint64, _ func(context.Context, []domain.Record) error) error {
			<-ctx.Done()
			return ctx.Err()
		})},
		"for the store": {feed: threeLinks(), fail: func(string) error { return errDown }},
		"to store":      {feed: threeLinks(), fail: down("apply")},
		"to report": {
			feed: new(storetest.Log).Raw("a", "outlink.link.painted.v1", `{}`),
			fail: down("report"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.fail = tt.fail
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- engineOn(m, tt.feed).Run(ctx) }()
				time.Sleep(time.Hour) // of the bubble: the engine is waiting now
				cancel()
				err := <-ended
				var poison *projections.PoisonError
				if err != nil && !errors.As(err, &poison) {
					t.Errorf("run: %v", err)
				}
				if m.at.Sequence != 0 {
					t.Errorf("it is at %d", m.at.Sequence)
				}
			})
		})
	}
}

func down(call string) func(string) error {
	return func(c string) error {
		if c == call {
			return errDown
		}
		return nil
	}
}

// TestRewound: a checkpoint that was set back by hand is followed from there,
// for the feed has gone past it.
func TestRewound(t *testing.T) {
	m, l := newMemory(), threeLinks()
	reset := false
	m.fail = func(call string) error {
		if call == "apply" && m.at.Sequence == l.Records[1].Sequence && !reset {
			reset = true
			m.at.Sequence = 0
			clear(m.links)
		}
		return nil
	}
	if err := engineOn(m, l).Run(t.Context()); err != nil {
		t.Fatal("run:", err)
	}
	if !reset || m.at.Sequence != l.Last() || len(m.links) != 3 {
		t.Errorf("after a reset (%t) it is at %d with %d links", reset, m.at.Sequence, len(m.links))
	}
}

// atRest is a log after whose last event none comes.
type atRest struct{ *storetest.Log }

func (l atRest) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	if err := l.Log.Follow(ctx, after, handle); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestLastEventIsStored: whatever happens to the last batch, no other has to come for
// it to be seen to.
func TestLastEventIsStored(t *testing.T) {
	for name, disturb := range map[string]func(m *memory, tries int) error{
		"the store is down": func(_ *memory, tries int) error {
			if tries < 5 {
				return errDown
			}
			return nil
		},
		"another projector stored a part": func(m *memory, tries int) error {
			if tries == 1 {
				m.at.Sequence++
			}
			return nil
		},
		"the checkpoint is set back": func(m *memory, tries int) error {
			if tries == 1 {
				m.at.Sequence = 0
				clear(m.links)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, l := newMemory(), threeLinks()
				l.Batch = 2
				tries := 0
				m.fail = func(call string) error {
					if call != "apply" || tries == 0 && m.at.Sequence == 0 {
						return nil
					}
					tries++
					return disturb(m, tries)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- engineOn(m, atRest{l}).Run(ctx) }()
				time.Sleep(time.Minute) // of the bubble
				synctest.Wait()
				if m.at.Sequence != l.Last() || len(m.links) != 3 || tries < 2 {
					t.Errorf("it is at %d with %d links, after %d tries of the last batch", m.at.Sequence, len(m.links), tries)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error("run:", err)
				}
			})
		})
	}
}

// TestPoisonIsLoud: one line at level error, with what an operator needs and
// nothing of the event's data.
func TestPoisonIsLoud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l := newMemory(), threeLinks()
		l.Raw("a", "outlink.link.painted.v1", `{"colour":"hush"}`)
		failures := 0
		m.fail = func(call string) error {
			if call == "report" && failures < 2 {
				failures++
				return errDown
			}
			return nil
		}
		var out bytes.Buffer
		e := engineOn(m, l)
		e.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
		err := e.Run(t.Context())
		var poison *projections.PoisonError
		if !errors.As(err, &poison) || poison.Sequence != l.Last() {
			t.Fatalf("run: %v", err)
		}
		if m.at.Problem != err.Error() {
			t.Errorf("the problem is %q, want %q", m.at.Problem, err)
		}
		for _, want := range []string{"projection=links", "generation=1", "sequence=7", "type=outlink.link.painted.v1", "unknown event type"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the log does not say %s: %s", want, out.String())
			}
		}
		if strings.Contains(out.String(), "hush") || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("the log says too much: %s", out.String())
		}
	})
}

// TestUnreadable: a message that is no event stops the projection as an event
// does that can't be folded, and once; what was before it is stored.
func TestUnreadable(t *testing.T) {
	m, l, follows := newMemory(), threeLinks(), 0
	broken := feed(func(ctx context.Context, _ uint64, handle func(context.Context, []domain.Record) error) error {
		follows++
		return errors.Join(handle(ctx, l.Records), &domain.UnreadableError{Sequence: 99, Subject: "x.events.link.1", Err: errDown})
	})
	err := engineOn(m, broken).Run(t.Context())
	var poison *projections.PoisonError
	if !errors.As(err, &poison) || poison.Sequence != 99 || follows != 1 {
		t.Errorf("run: %v, after %d tries", err, follows)
	}
	if m.at.Sequence != l.Last() || m.at.Problem == "" {
		t.Errorf("it is at %d with the problem %q", m.at.Sequence, m.at.Problem)
	}
}

// TestOneRowAKey: a batch with many events of one key stores one row, and the
// batches join.
func TestOneRowAKey(t *testing.T) {
	m, l := newMemory(), &storetest.Log{Batch: 4}
	l.Link("a", link.Created{})
	for range 9 {
		l.Link("a", link.Disabled{}).Link("a", link.Enabled{})
	}
	if err := engineOn(m, l).Run(t.Context()); err != nil {
		t.Fatal("run:", err)
	}
	var last uint64
	for _, b := range m.batches {
		if len(b.Links) != 1 || b.From != last || b.Links[0].Sequence != b.To {
			t.Errorf("a batch from %d to %d has %d rows", b.From, b.To, len(b.Links))
		}
		last = b.To
	}
	if last != l.Last() || len(m.batches) != 5 {
		t.Errorf("%d batches end at %d", len(m.batches), last)
	}
}
