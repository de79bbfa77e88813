package eventlog_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/eventlog"
)

// A batch that takes longer than the server waits for it is handed to nobody else
// meanwhile.
func TestSlowBatch(t *testing.T) {
	b := besiege(t)
	consumer, err := b.js.CreateConsumer(t.Context(), b.Namespace.Events(), jetstream.ConsumerConfig{
		Durable: "test", FilterSubject: b.attacked, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 400 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = eventlog.Durable{
		JS: b.js, Stream: b.Namespace.Events(), Name: "test", Batch: 5, Guard: b.guard(), Log: slog.New(slog.DiscardHandler),
		Handle: func(_ context.Context, batch []domain.Record) error {
			defer cancel()
			another, err := consumer.Fetch(1, jetstream.FetchMaxWait(1500*time.Millisecond))
			if err != nil {
				return err
			}
			for m := range another.Messages() {
				t.Errorf("of %d events another node gets %s as well", len(batch), m.Subject())
			}
			return nil
		},
	}.Run(ctx)
	if err != nil {
		t.Error(err)
	}
}
