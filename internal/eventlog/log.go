// Package eventlog keeps aggregates in JetStream: one subject an aggregate, one
// message an event, and beside each event the aggregate's state after it, so
// that loading is one direct get of the subject's last message.
//
// It decides nothing. The order is the stream's sequence; a writer who was
// overtaken gets [commands.ErrOvertaken] and decides again.
package eventlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
)

// Log is the part of the log that holds one kind of aggregate.
type Log[S, E any] struct {
	JS           Publisher
	Stream       jetstream.Stream // EVENTS
	Guard        *Guard
	Source       string // CloudEvents source: the namespace
	Subject      func(domain.Key) string
	Kinds        domain.Kinds[E]
	Evolve       func(S, E) S
	StateVersion int
}

// Load returns an aggregate as its last event left it. A foreign message behind
// that changes nothing but the place of the next event.
func (l Log[S, E]) Load(ctx context.Context, key domain.Key) (commands.Loaded[S], error) {
	msg, err := l.Stream.GetLastMsgForSubject(ctx, l.Subject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return commands.Loaded[S]{}, nil
	}
	if err != nil {
		return commands.Loaded[S]{}, fmt.Errorf("load %s: %w", l.Subject(key), unavailable(err))
	}
	event, err := l.Guard.lastGenuine(ctx, msg)
	if err != nil {
		return commands.Loaded[S]{}, err
	}
	var at commands.Loaded[S]
	if event != nil {
		at, err = l.loaded(ctx, key, event)
	}
	if event != msg {
		at.Foreign = msg.Sequence
	}
	return at, err
}

// First returns an aggregate as its first event left it.
func (l Log[S, E]) First(ctx context.Context, key domain.Key) (commands.Loaded[S], error) {
	for from := uint64(1); ; {
		msg, err := l.Stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(l.Subject(key)))
		if err != nil {
			return commands.Loaded[S]{}, fmt.Errorf("load the first event of %s: %w", l.Subject(key), unavailable(err))
		}
		reason, err := l.Guard.foreign(ctx, raw(msg))
		if err != nil {
			return commands.Loaded[S]{}, err
		}
		if reason == "" {
			return l.alone(msg)
		}
		from = msg.Sequence + 1
	}
}

// alone is an aggregate after one event, as if there had been none before.
func (l Log[S, E]) alone(msg *jetstream.RawStreamMsg) (at commands.Loaded[S], err error) {
	r, err := parse(raw(msg))
	if err != nil {
		return at, err
	}
	e, err := l.Kinds.Decode(r.Type, r.Data)
	if err != nil {
		return at, fmt.Errorf("event %d: %w", r.Sequence, err)
	}
	at = after[S](r)
	at.State = l.Evolve(at.State, e)
	return at, nil
}

func (l Log[S, E]) loaded(ctx context.Context, key domain.Key, msg *jetstream.RawStreamMsg) (commands.Loaded[S], error) {
	r, err := parse(raw(msg))
	if err != nil {
		return commands.Loaded[S]{}, err
	}
	at := after[S](r)
	if r.State == nil || !current(msg.Header, l.StateVersion) {
		at.State, err = l.fold(ctx, key)
		return at, err
	}
	if err := json.Unmarshal(r.State, &at.State); err != nil {
		return at, domain.Undecodable(fmt.Errorf("decode the state beside event %d: %w", r.Sequence, err))
	}
	return at, nil
}

// after is an aggregate after an event, but for its state.
func after[S any](r domain.Record) commands.Loaded[S] {
	return commands.Loaded[S]{Sequence: r.Sequence, Version: r.Version, Event: r.ID, Causation: r.Causation, Time: r.Time, Hash: r.Hash}
}

// fold reads the whole history: the slow way, for a state of another version.
func (l Log[S, E]) fold(ctx context.Context, key domain.Key) (S, error) {
	var s S
	err := History(ctx, l.Stream, l.Guard, l.Subject(key), func(r domain.Record) error {
		e, err := l.Kinds.Decode(r.Type, r.Data)
		if err != nil {
			return fmt.Errorf("event %d: %w", r.Sequence, err)
		}
		s = l.Evolve(s, e)
		return nil
	})
	return s, err
}

// Back visits the events of an aggregate from the loaded one to the first, newest
// first: each says which one it followed.
func (l Log[S, E]) Back(ctx context.Context, key domain.Key, from commands.Loaded[S], visit func(domain.Record) (enough bool)) error {
	for sequence := from.Sequence; sequence > 0; {
		msg, err := l.Stream.GetMsg(ctx, sequence)
		if err != nil {
			return fmt.Errorf("read event %d of %s: %w", sequence, l.Subject(key), unavailable(err))
		}
		if msg, err = l.Guard.lastGenuine(ctx, msg); err != nil || msg == nil {
			return err
		}
		r, err := parse(raw(msg))
		if err != nil {
			return err
		}
		if visit(r) {
			return nil
		}
		if sequence, err = follows(msg); err != nil {
			return err
		}
	}
	return nil
}

// follows is the sequence of the message before an event on its subject; 0: none.
// An event without a MAC, from before there was a key, has it by its expectation.
func follows(m *jetstream.RawStreamMsg) (uint64, error) {
	said := cmp.Or(get(m.Header, headerAfter), get(m.Header, jetstream.ExpectedLastSubjSeqHeader))
	after, err := strconv.ParseUint(said, 10, 64)
	if err != nil || after >= m.Sequence {
		return 0, domain.Undecodable(fmt.Errorf("event %d follows %q, which is no place before it", m.Sequence, said))
	}
	return after, nil
}

// Append records e after the loaded state and returns its sequence. It answers
// [commands.ErrOvertaken] when somebody else appended first. A publish whose
// acknowledgement was lost is recognised by reading back: JetStream checks the
// expected sequence before the message id, so that a repeat looks like a conflict.
func (l Log[S, E]) Append(ctx context.Context, key domain.Key, after commands.Loaded[S], e E, m commands.Meta) (commands.Loaded[S], error) {
	id := uuid.Must(uuid.NewV7())
	next := commands.Loaded[S]{State: l.Evolve(after.State, e), Version: after.Version + 1, Event: id, Causation: m.CommandID.String(), Time: m.Time}
	msg, err := l.message(key, &next, after.Hash, e, m)
	if err == nil {
		err = l.Guard.seal(ctx, msg, after.End())
	}
	if err != nil {
		return next, err
	}
	msg.Header[jetstream.MsgIDHeader] = []string{id.String()}
	msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(after.End(), 10)}
	for inDoubt := false; ; inDoubt = true {
		ack, err := l.JS.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
		if err == nil {
			next.Sequence = ack.Sequence
			l.Guard.know(ack.Sequence)
			return next, nil
		}
		seq, last, readErr := l.last(ctx, key)
		switch {
		case readErr == nil && last == id.String():
			next.Sequence = seq
			return next, nil
		case bus.IsStale(err) && !bus.IsContended(err) && !inDoubt: // this one cannot have landed
			return next, commands.ErrOvertaken
		case readErr == nil && seq != after.End():
			return l.overtaken(ctx, key, after.End(), next)
		case ctx.Err() != nil:
			return next, fmt.Errorf("append to %s: %w", msg.Subject, unavailable(err))
		}
		// Unknown whether it lands, or what lands before it: the same message again is
		// safe, because only one can follow after.End.
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// overtaken tells an event of ours that others followed at once from one that came
// too late: only one can be the next after what was loaded.
func (l Log[S, E]) overtaken(ctx context.Context, key domain.Key, after uint64, next commands.Loaded[S]) (commands.Loaded[S], error) {
	m, err := l.Stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(l.Subject(key)))
	if err != nil {
		return next, fmt.Errorf("append to %s: %w", l.Subject(key), unavailable(err))
	}
	if m.Header.Get(headerID) != next.Event.String() {
		return next, commands.ErrOvertaken
	}
	next.Sequence = m.Sequence
	return next, nil
}

func (l Log[S, E]) last(ctx context.Context, key domain.Key) (uint64, string, error) {
	msg, err := l.Stream.GetLastMsgForSubject(ctx, l.Subject(key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	return msg.Sequence, msg.Header.Get(headerID), nil
}

// largestState is the largest state that travels beside its event: JetStream refuses
// a message with more than 64 KiB of headers, whatever is tried.
const largestState = 48 << 10

// message makes the event's message, and chains it to the event before.
func (l Log[S, E]) message(key domain.Key, next *commands.Loaded[S], before string, e E, m commands.Meta) (*nats.Msg, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", l.Kinds.Type(e), err)
	}
	state, err := json.Marshal(next.State)
	if err != nil {
		return nil, fmt.Errorf("encode the state after %s: %w", l.Kinds.Type(e), err)
	}
	if len(state) > largestState {
		state = nil // the next one folds the history
	}
	next.Hash = Chain(before, domain.Record{
		ID: next.Event, Type: l.Kinds.Type(e), Link: key.Link, Grant: key.Grant, Version: next.Version, Time: m.Time,
		Actor: m.Actor, Correlation: m.Correlation, Causation: m.CommandID.String(), Traceparent: m.Traceparent, Data: data,
	})
	msg := &nats.Msg{Subject: l.Subject(key), Data: data, Header: envelope{
		id: next.Event, typ: l.Kinds.Type(e), source: l.Source, subject: key.String(), meta: m,
		version: next.Version, hash: next.Hash, state: state, stateVersion: l.StateVersion,
	}.header()}
	return msg, nil
}

// unavailable gives errors of the bus the code that callers decide on.
func unavailable(err error) error {
	var own *domain.Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	return errors.Join(domain.Errorf(domain.Unavailable, "the event log does not answer; try again"), err)
}
