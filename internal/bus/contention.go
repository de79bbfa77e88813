package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// IsStale reports whether err says that an expected last sequence was not the
// last one, or will not be: see [IsContended]. It goes by the error code, never by
// the text.
func IsStale(err error) bool {
	return refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequence) || IsContended(err)
}

// IsContended reports whether err says that another message was just being written
// to the subject. A replicated stream refuses all others meanwhile; who looks at
// once may still see what was before.
func IsContended(err error) bool {
	return refusedWith(err, jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

func refusedWith(err error, code jetstream.ErrorCode) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.ErrorCode == code
}

// contention is how long a write is given to be seen.
const contention = 20 * time.Millisecond

// Settle waits a moment if err says that another write is on its way, and reports
// whether it did.
func Settle(ctx context.Context, err error) bool {
	if !IsContended(err) || ctx.Err() != nil {
		return false
	}
	select {
	case <-ctx.Done():
	case <-time.After(contention):
	}
	return true
}

// Create places a value where there is none. It returns jetstream.ErrKeyExists
// when there is one, which can be read then.
func Create(ctx context.Context, kv jetstream.KeyValue, key string, value []byte) error {
	for {
		_, err := kv.Create(ctx, key, value)
		if !Settle(ctx, err) {
			return err
		}
	}
}
