package eventlog

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is a bucket whose new entries go with a group, under load in batches.
type Bucket struct {
	jetstream.KeyValue
	Group *Group
}

// Put places a value, as [jetstream.KeyValue] does.
func (b Bucket) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return b.publish(ctx, key, value, nil)
}

// Create places a value where there is none. Whether one is in the way, or the
// mark of a deleted one, is for the library to say.
func (b Bucket) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	if len(opts) > 0 {
		return b.KeyValue.Create(ctx, key, value, opts...)
	}
	revision, err := b.publish(ctx, key, value, neverWas())
	var refused *jetstream.APIError
	if errors.As(err, &refused) {
		return b.KeyValue.Create(ctx, key, value)
	}
	return revision, err
}

// Update replaces a revision; 0 is where there never was an entry.
func (b Bucket) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if revision > 0 {
		return b.KeyValue.Update(ctx, key, value, revision)
	}
	return b.publish(ctx, key, value, neverWas())
}

// neverWas is what a message expects where there is no other one.
func neverWas() nats.Header { return nats.Header{jetstream.ExpectedLastSubjSeqHeader: {"0"}} }

// Later places a value that nobody waits for. A crash may lose it.
func (b Bucket) Later(key string, value []byte) { b.Group.Later(b.message(key, value, nil)) }

func (b Bucket) message(key string, value []byte, header nats.Header) *nats.Msg {
	return &nats.Msg{Subject: "$KV." + b.Bucket() + "." + key, Header: header, Data: value}
}

func (b Bucket) publish(ctx context.Context, key string, value []byte, header nats.Header) (uint64, error) {
	ack, err := b.Group.PublishMsg(ctx, b.message(key, value, header))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}
