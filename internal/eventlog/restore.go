package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
)

// Restorer appends events as they once were, without the states beside them, to a
// log that nobody else writes. It authenticates them anew: a MAC is for a place in
// one log.
type Restorer struct {
	feed   Feed
	stream jetstream.Stream
	empty  bool
	last   uint64            // of the log, when all that was sent is stored
	ends   map[string]uint64 // of the subjects that were written
}

// stall is how long a server that is busy with what it was sent is waited for.
const stall = time.Minute

// Restorer begins behind what there is.
func (f Feed) Restorer(ctx context.Context) (*Restorer, error) {
	stream, err := f.JS.Stream(ctx, f.Namespace.Events())
	if err != nil {
		return nil, fmt.Errorf("look at the log: %w", unavailable(err))
	}
	last := stream.CachedInfo().State.LastSeq
	return &Restorer{feed: f, stream: stream, empty: last == 0, last: last, ends: map[string]uint64{}}, nil
}

// Append sends the next event. It is refused when anything came in between.
func (r *Restorer) Append(ctx context.Context, e domain.Record) (jetstream.PubAckFuture, error) {
	m := r.feed.restored(e)
	after, err := r.end(ctx, m.Subject)
	if err != nil {
		return nil, err
	}
	if err := r.feed.Guard.seal(ctx, m, after); err != nil {
		return nil, err
	}
	ack, err := r.feed.JS.PublishMsgAsync(m, jetstream.WithMsgID(e.ID.String()), jetstream.WithExpectLastSequence(r.last), jetstream.WithStallWait(stall))
	r.last++
	r.ends[m.Subject] = r.last
	return ack, err
}

// end is the last sequence on a subject, as it will be when all is stored.
func (r *Restorer) end(ctx context.Context, subject string) (uint64, error) {
	if end, written := r.ends[subject]; written || r.empty {
		return end, nil
	}
	m, err := r.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look up the end of %s: %w", subject, unavailable(err))
	}
	return m.Sequence, nil
}

func (f Feed) restored(r domain.Record) *nats.Msg {
	subject := f.Namespace.LinkEvents(r.Link)
	switch {
	case r.OfGrant():
		subject = f.Namespace.GrantEvents(r.Link, r.Grant)
	case strings.HasPrefix(r.Type, "outlink.name."):
		subject = f.Namespace.NameEvents(r.Link)
	}
	causation, _ := uuid.Parse(r.Causation)
	return &nats.Msg{Subject: subject, Data: r.Data, Header: envelope{
		id: r.ID, typ: r.Type, source: string(f.Namespace), subject: domain.Key{Link: r.Link, Grant: r.Grant}.String(), version: r.Version, hash: r.Hash,
		meta: commands.Meta{CommandID: causation, Actor: r.Actor, Correlation: r.Correlation, Traceparent: r.Traceparent, Time: r.Time},
	}.header()}
}
