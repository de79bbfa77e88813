package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// again is how long to wait before a server that does not answer is asked again.
const again = time.Second

// Bucket looks a bucket up for whoever runs already: while the server cannot be
// reached it tries again, for a node outlives a restart of its server. A bucket
// that does not exist is an error, as is all else that the server says.
func Bucket(ctx context.Context, js jetstream.JetStream, name string, log *slog.Logger) (jetstream.KeyValue, error) {
	return patiently(ctx, log, "look up bucket "+name, func() (jetstream.KeyValue, error) {
		kv, err := js.KeyValue(ctx, name)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			err = fmt.Errorf("%w; run: outlink migrate", err)
		}
		return kv, err
	})
}

// Watch watches a whole bucket, in the same way.
func Watch(ctx context.Context, kv jetstream.KeyValue, log *slog.Logger) (jetstream.KeyWatcher, error) {
	return patiently(ctx, log, "watch bucket "+kv.Bucket(), func() (jetstream.KeyWatcher, error) { return kv.WatchAll(ctx) })
}

func patiently[T any](ctx context.Context, log *slog.Logger, what string, ask func() (T, error)) (T, error) {
	for {
		got, err := ask()
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return got, fmt.Errorf("%s: %w", what, err)
		}
		log.Warn("NATS does not answer; asking again", "to", what, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}
