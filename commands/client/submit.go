package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
)

// Submit stores a command, a struct of package commands or a pointer to one, in
// JetStream. When it returns the command is accepted for ever: a node will run it,
// now or later, or set it aside with the reason. The id is the command's; to learn
// the outcome afterwards, send the same command with that id as a request.
func (c Client) Submit(ctx context.Context, command any) (uuid.UUID, error) {
	msg, id, err := c.message(ctx, ".submit.", command)
	if err != nil {
		return uuid.Nil, err
	}
	return id, c.store(ctx, msg, id)
}

// SubmitAndWait is Submit and waits for the outcome. When the context ends
// first, the error has the code unavailable and the command's id among its
// details: it stays accepted.
func (c Client) SubmitAndWait(ctx context.Context, command any) (commands.Outcome, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	msg, id, err := c.message(ctx, ".submit.", command)
	if err != nil {
		return commands.Outcome{}, err
	}
	inbox := c.NC.NewInbox()
	sub, err := c.NC.SubscribeSync(inbox)
	if err != nil {
		return commands.Outcome{}, c.unanswered(msg.Subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	msg.Header.Set("Outlink-Reply-To", inbox)
	if err := c.store(ctx, msg, id); err != nil {
		return commands.Outcome{}, err
	}
	reply, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return commands.Outcome{}, errors.Join(domain.Errorf(domain.Unavailable,
			"command %s is accepted and was not run in time; send it again with this id for its outcome", id).With("command_id", id.String()), err)
	}
	return outcome(reply)
}

// outcome reads the answer to a submitted command: an outcome or an error.
func outcome(reply *nats.Msg) (out commands.Outcome, err error) {
	refused := &domain.Error{}
	if err := json.Unmarshal(reply.Data, refused); err == nil && refused.Code != "" {
		return out, refused
	}
	if err := json.Unmarshal(reply.Data, &out); err != nil {
		return out, fmt.Errorf("decode the outcome: %w", err)
	}
	return out, nil
}

func (c Client) store(ctx context.Context, msg *nats.Msg, id uuid.UUID) error {
	js, err := jetstream.New(c.NC)
	if err != nil {
		return err
	}
	// The message id makes the library's own repeats one message.
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(id.String())); err != nil {
		return errors.Join(domain.Errorf(domain.Unavailable, "%s was not acknowledged; submit it again with command id %s", msg.Subject, id).
			With("command_id", id.String()), err)
	}
	return nil
}
