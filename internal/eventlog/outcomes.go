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
	a, _, err := o.get(ctx, command)
	return a, err
}

func (o Outcomes) get(ctx context.Context, command uuid.UUID) (*commands.Answered, uint64, error) {
	entry, err := o.KV.Get(ctx, command.String())
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("look up the outcome of command %s: %w", command, unavailable(err))
	}
	var a commands.Answered
	if err := json.Unmarshal(entry.Value(), &a); err != nil {
		return nil, 0, fmt.Errorf("decode the outcome of command %s: %w", command, err)
	}
	return &a, entry.Revision(), nil
}

// ForgetRefusal lets a command be run that was refused. What a command did is
// never forgotten.
func (o Outcomes) ForgetRefusal(ctx context.Context, command uuid.UUID) error {
	a, revision, err := o.get(ctx, command)
	if err != nil || a == nil || a.Error == nil {
		return err
	}
	if err := o.KV.Delete(ctx, command.String(), jetstream.LastRevision(revision)); err != nil {
		return fmt.Errorf("forget that command %s was refused: %w", command, unavailable(err))
	}
	return nil
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
