package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
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
	return f.last(ctx, f.linksAndGrants())
}

func (f Feed) linksAndGrants() []string {
	return []string{f.Namespace.AllLinkEvents(), f.Namespace.AllGrantEvents()}
}

func (f Feed) last(ctx context.Context, subjects []string) (uint64, error) {
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

// LastOf is the sequence of the last event on any of the subjects; 0: none.
func (f Feed) LastOf(ctx context.Context, subjects []string) (uint64, error) {
	return f.last(ctx, subjects)
}

// Restore appends an event as it once was, without the state beside it.
func (f Feed) Restore(r domain.Record) (jetstream.PubAckFuture, error) {
	subject := f.Namespace.LinkEvents(r.Link)
	switch {
	case r.OfGrant():
		subject = f.Namespace.GrantEvents(r.Link, r.Grant)
	case strings.HasPrefix(r.Type, "outlink.name."):
		subject = f.Namespace.NameEvents(r.Link)
	}
	causation, _ := uuid.Parse(r.Causation)
	return f.JS.PublishMsgAsync(&nats.Msg{Subject: subject, Data: r.Data, Header: envelope{
		id: r.ID, typ: r.Type, source: string(f.Namespace), subject: domain.Key{Link: r.Link, Grant: r.Grant}.String(), version: r.Version, hash: r.Hash,
		meta: commands.Meta{CommandID: causation, Actor: r.Actor, Correlation: r.Correlation, Traceparent: r.Traceparent, Time: r.Time},
	}.header()}, jetstream.WithMsgID(r.ID.String()))
}
