package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
)

// Outcomes keeps the answers to commands in a bucket.
type Outcomes struct{ KV Bucket }

// Get returns the answer to a command, or nil.
func (o Outcomes) Get(ctx context.Context, command uuid.UUID) (*commands.Answered, error) {
	entry, err := o.KV.Get(ctx, command.String())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up the outcome of command %s: %w", command, unavailable(err))
	}
	var a commands.Answered
	if err := json.Unmarshal(entry.Value(), &a); err != nil {
		return nil, fmt.Errorf("decode the outcome of command %s: %w", command, err)
	}
	return &a, nil
}

// Put remembers an answer.
func (o Outcomes) Put(ctx context.Context, command uuid.UUID, a commands.Answered) error {
	b, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode the outcome of command %s: %w", command, err)
	}
	if _, err := o.KV.Put(ctx, command.String(), b); err != nil {
		return fmt.Errorf("keep the outcome of command %s: %w", command, unavailable(err))
	}
	return nil
}

// PutLater remembers an answer without waiting for it. What becomes of it is of no
// consequence: see [commands.Outcomes].
func (o Outcomes) PutLater(command uuid.UUID, a commands.Answered) {
	if b, err := json.Marshal(a); err == nil {
		o.KV.Later(command.String(), b)
	}
}
