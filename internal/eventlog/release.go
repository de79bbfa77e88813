package eventlog

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// idle is how long the server keeps the consumer of a reader that could not
// release it: it was killed, or its connection broke.
const idle = 30 * time.Second

// release deletes a reader's consumer, also when the reader was cancelled. The
// client library leaves it to the server, for minutes: a thousand short reads
// and the stream refuses all further ones (error 10026). What goes wrong here
// is left to idle.
func (f Feed) release(ctx context.Context, c jetstream.Consumer) {
	info := c.CachedInfo()
	if info == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = f.JS.DeleteConsumer(ctx, info.Stream, info.Name)
}
