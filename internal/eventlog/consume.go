package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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
	Handle func(ctx context.Context, batch []domain.Record) error
	Log    *slog.Logger
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

func (d Durable) work(ctx context.Context, messages []jetstream.Msg) error {
	batch := make([]domain.Record, 0, len(messages))
	var err error
	for _, m := range messages {
		var r domain.Record
		if r, err = Parse(m); err != nil {
			break
		}
		if !ofName(r) {
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
