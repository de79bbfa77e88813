package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// At is the sequence of the last event that happened by a time; 0: none had. It
// goes by the events' own times, which an import keeps, and not by when this
// stream took them. The clocks of nodes differ a little, so events about that
// time may be on either side.
func (f Feed) At(ctx context.Context, t time.Time) (uint64, error) {
	stream, err := f.JS.Stream(ctx, f.Namespace.Events())
	if err != nil {
		return 0, fmt.Errorf("look at the log: %w", unavailable(err))
	}
	state := stream.CachedInfo().State
	by, after := uint64(0), state.LastSeq+1 // an event by then, and one after it
	for after-by > 1 {
		place := by + (after-by)/2
		found, at, err := f.timed(ctx, stream, place, after)
		switch {
		case err != nil:
			return 0, fmt.Errorf("find the log's place at %s: %w", t.Format(time.RFC3339), err)
		case found == after || at.After(t):
			after = place
		default:
			by = found
		}
	}
	return by, nil
}

// timed finds the first event from a sequence on that has a time, and that;
// before the end, or else it answers the end.
func (f Feed) timed(ctx context.Context, stream jetstream.Stream, from, end uint64) (uint64, time.Time, error) {
	for from < end {
		m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(f.Namespace.AllEvents()))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return 0, time.Time{}, unavailable(err)
		}
		foreign, err := f.Guard.foreign(ctx, raw(m))
		if err != nil {
			return 0, time.Time{}, err
		}
		if at, err := time.Parse(time.RFC3339Nano, get(m.Header, headerTime)); err == nil && foreign == "" && m.Sequence < end {
			return m.Sequence, at, nil
		}
		from = m.Sequence + 1
	}
	return end, time.Time{}, nil
}
