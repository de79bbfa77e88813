package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// State is the size and the ends of the log, names included.
func (f Feed) State(ctx context.Context) (jetstream.StreamState, error) {
	stream, err := f.JS.Stream(ctx, f.Namespace.Events())
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("look at the log: %w", unavailable(err))
	}
	return stream.CachedInfo().State, nil
}

// Last is the sequence of the last event of a link or grant; 0: there is none.
func (f Feed) Last(ctx context.Context) (uint64, error) {
	return f.LastOf(ctx, f.linksAndGrants())
}

func (f Feed) linksAndGrants() []string {
	return []string{f.Namespace.AllLinkEvents(), f.Namespace.AllGrantEvents()}
}

// LastOf is the sequence of the last event on any of the subjects; 0: none.
func (f Feed) LastOf(ctx context.Context, subjects []string) (uint64, error) {
	stream, err := f.JS.Stream(ctx, f.Namespace.Events())
	if err != nil {
		return 0, fmt.Errorf("look at the log: %w", unavailable(err))
	}
	var end uint64
	for _, subject := range subjects {
		last, err := stream.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look at the log: %w", unavailable(err))
		}
		end = max(end, last.Sequence)
	}
	return end, nil
}
