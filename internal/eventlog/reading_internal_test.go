package eventlog

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/bus"
)

// cutOff is a stream whose first answer takes long, because the connection broke.
type cutOff struct {
	jetstream.Stream
	nc    *nats.Conn
	lost  bool // the answer does not come at all
	asked atomic.Int32
}

func (c *cutOff) GetMsg(ctx context.Context, sequence uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	if c.asked.Add(1) == 1 {
		if err := c.nc.ForceReconnect(); err != nil {
			return nil, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
		if c.lost {
			return nil, context.DeadlineExceeded
		}
	}
	return c.Stream.GetMsg(ctx, sequence, opts...)
}

// No event is passed over, and none comes before an earlier one, when the connection
// breaks while an event is being read: the library goes on with what comes after it.
func TestConnectionBreaksWhileReading(t *testing.T) {
	for name, lost := range map[string]bool{"the answer is late": false, "the answer is lost": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			key := Key{ID: "k", Secret: domain.NewSecret("secret")}
			const events = 6
			for range events {
				e := envelope{id: uuid.New(), typ: link.Kinds.Type(link.Created{}), version: 1, meta: commands.Meta{Time: time.Now()}}
				m := &nats.Msg{Subject: bus.DefaultNamespace.LinkEvents(uuid.New()), Header: e.header(), Data: []byte("{}")}
				key.seal(m, "0")
				if _, err := s.js.PublishMsg(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			stream := &cutOff{Stream: s.stream, nc: s.js.Conn(), lost: lost}
			f := Feed{JS: s.js, Namespace: bus.DefaultNamespace, Guard: &Guard{
				Stream: stream, Log: slog.New(slog.DiscardHandler), Keys: func(context.Context) ([]Key, error) { return []Key{key}, nil },
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			var came []uint64
			all := errors.New("all")
			for last := uint64(1); ctx.Err() == nil; { // as a projector does, behind its checkpoint
				err := f.Follow(ctx, last, func(_ context.Context, batch []domain.Record) error {
					for _, r := range batch {
						came, last = append(came, r.Sequence), r.Sequence
					}
					if last == events {
						return all
					}
					return nil
				})
				if errors.Is(err, all) {
					break
				}
			}
			if want := []uint64{2, 3, 4, 5, 6}; !slices.Equal(came, want) {
				t.Errorf("events %v came, want %v", came, want)
			}
			if stream.asked.Load() < 2 {
				t.Error("nothing was asked while the connection broke")
			}
		})
	}
}
