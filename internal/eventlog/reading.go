package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
)

// errAnew says that messages come from another consumer than before.
var errAnew = errors.New("the consumer was replaced")

// reader reads what a consumer delivers.
//
// When a connection breaks, the library replaces an ordered consumer and delivers
// what comes after the last message, whether or not that one has been read: reading
// it may take a question to the server. What the new consumer delivers is therefore
// not taken. A new reader begins after what was handed over.
type reader struct {
	consumer string
	to       *arrivals
	lenient  bool // junk is no error

	mu    sync.Mutex
	trail *trail
}

func (r *reader) read(ctx context.Context, delivery jetstream.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, consumer, err := delivered(delivery)
	var event domain.Record
	switch {
	case err != nil:
	case consumer != r.consumer:
		err = errAnew
	default:
		event, err = r.trail.read(ctx, m)
	}
	if r.lenient && domain.Junk(err) {
		event, err = domain.Record{Sequence: m.sequence, Foreign: "it has not the form of an event"}, nil
	}
	r.to.add(ctx, event, len(m.data), err)
}

// delivered is a message that a consumer of EVENTS delivered, and that consumer.
func delivered(m jetstream.Msg) (message, string, error) {
	meta, err := m.Metadata()
	if err != nil {
		return message{}, "", fmt.Errorf("message on %s has no place in a stream: %w", m.Subject(), err)
	}
	return message{m.Subject(), meta.Sequence.Stream, m.Headers(), m.Data()}, meta.Consumer, nil
}

// read reads the trail's next message.
func (t *trail) read(ctx context.Context, m message) (domain.Record, error) {
	reason, err := t.foreign(ctx, m)
	if err != nil || reason != "" {
		return domain.Record{Sequence: m.sequence, Foreign: reason}, err
	}
	return parse(m)
}
