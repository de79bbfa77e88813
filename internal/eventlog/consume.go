package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
)

// Durable hands the events of links and grants of a durable consumer to a worker in batches, and
// acknowledges a batch when the worker is done with it.
type Durable struct {
	JS     jetstream.JetStream
	Stream string
	Name   string
	Batch  int
	Guard  *Guard
	Handle func(ctx context.Context, batch []domain.Record) error

	// Foreign is told of messages that are no events, each at least once; nil:
	// they are only passed over.
	Foreign func(ctx context.Context, f Foreign) error
	Log     *slog.Logger
}

// Foreign is a message in the log that none of the namespace's nodes wrote.
type Foreign struct {
	Link     uuid.UUID // of its subject, as far as that names one
	Grant    uuid.UUID
	Sequence uint64
	At       time.Time // when the stream took it
	Reason   string
}

// Run consumes until the context ends. A batch that fails is tried again after
// a pause: events are never skipped.
func (d Durable) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := d.once(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("a batch of events failed and will be tried again", "consumer", d.Name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func (d Durable) once(ctx context.Context) error {
	consumer, err := d.JS.Consumer(ctx, d.Stream, d.Name)
	if err != nil {
		return fmt.Errorf("look up consumer %s: %w", d.Name, err)
	}
	for ctx.Err() == nil {
		fetched, err := consumer.Fetch(1, jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		first := collect(fetched)
		if err := fetched.Error(); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if len(first) == 0 {
			continue
		}
		more, err := consumer.FetchNoWait(d.Batch - 1) // what else is there
		if err != nil {
			return err
		}
		if err := d.work(ctx, append(first, collect(more)...)); err != nil {
			return err
		}
	}
	return nil
}

func collect(b jetstream.MessageBatch) []jetstream.Msg {
	var all []jetstream.Msg
	for m := range b.Messages() {
		all = append(all, m)
	}
	return all
}

// read reads a message, and tells of it if it is foreign.
func (d Durable) read(ctx context.Context, delivery jetstream.Msg) (domain.Record, error) {
	m, err := delivered(delivery)
	if err != nil {
		return domain.Record{}, err
	}
	reason, err := d.Guard.foreign(ctx, m)
	if err == nil && reason == "" {
		return parse(m)
	}
	if err == nil && d.Foreign != nil {
		meta, _ := delivery.Metadata() // it was read before
		f := Foreign{Sequence: m.sequence, At: meta.Timestamp, Reason: reason}
		f.Link, f.Grant, _ = aggregate(m.subject)
		err = d.Foreign(ctx, f)
	}
	return domain.Record{Sequence: m.sequence, Foreign: reason}, err
}

func (d Durable) work(ctx context.Context, messages []jetstream.Msg) error {
	batch := make([]domain.Record, 0, len(messages))
	var err error
	for _, m := range messages {
		var r domain.Record
		if r, err = d.read(ctx, m); err != nil {
			break
		}
		if r.Foreign == "" && !ofName(r) {
			batch = append(batch, r)
		}
	}
	if err == nil && len(batch) > 0 {
		err = d.Handle(ctx, batch)
	}
	for _, m := range messages {
		if err != nil {
			_ = m.NakWithDelay(time.Second) // a lost one is delivered again after its wait
			continue
		}
		if ackErr := m.Ack(); ackErr != nil {
			return ackErr
		}
	}
	return err
}
