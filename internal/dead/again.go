package dead

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
)

// last is a subject's last token.
func last(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// Commands submits refused commands again. All fields are required.
type Commands struct {
	Box    Box
	Open   func(domain.Sealed) (domain.Secret, error)
	Forget func(ctx context.Context, command uuid.UUID) error // that it was refused, never what it did
}

// Again submits a refused command under its own id: if it had its effect before,
// its answer is that one's. The refusal is forgotten first, which would be the
// answer for ever otherwise. One that would be refused unseen stays where it is;
// a secret in clear never gets into a stream again.
func (c Commands) Again(ctx context.Context, e Entry, dry bool) (string, error) {
	name := last(e.Subject)
	if e.Subject != c.Box.Namespace.Submit(name) {
		return "", foreign(e)
	}
	body, err := opened(c.Open, e)
	if err != nil {
		return "", err
	}
	if err := commands.Submittable(name, body); err != nil {
		return "", err
	}
	id := e.Command
	if id == uuid.Nil {
		id = e.id()
	}
	if body, err = commands.WithID(body, id); err != nil || dry {
		return e.Subject, err
	}
	if err := c.Forget(ctx, commands.ID(body)); err != nil {
		return "", err
	}
	return e.Subject, c.Box.publish(ctx, e, body)
}

// foreign is an entry whose subject is none that its kind has.
func foreign(e Entry) error {
	return domain.Errorf(domain.FailedPrecondition, "%d came on %q, where no %s comes from; drop it: outlink dead drop %d", e.Sequence, e.Subject, e.Kind, e.Sequence)
}

// publish sends a letter's message where it came from. Its message id is another
// than the first time, which the stream may still know, and the same for each
// time that the letter is retried.
func (b Box) publish(ctx context.Context, e Entry, body []byte) error {
	msg := &nats.Msg{Subject: e.Subject, Data: body, Header: nats.Header{bus.HeaderAgain: {"1"}}}
	if e.traceparent != "" {
		msg.Header[headerTraceparent] = []string{e.traceparent}
	}
	if _, err := b.JS.PublishMsg(ctx, msg, jetstream.WithMsgID(e.id().String())); err != nil {
		return fmt.Errorf("publish to %s again: %w", e.Subject, unavailable(err))
	}
	return nil
}

// Published has notices and expiries delivered again: their message is sent where
// it came from, if that is a subject of theirs.
func (b Box) Published(prefix string) Again {
	return func(ctx context.Context, e Entry, dry bool) (string, error) {
		if !strings.HasPrefix(e.Subject, prefix) || strings.ContainsAny(e.Subject, "*> ") {
			return "", foreign(e)
		}
		if dry {
			return e.Subject, nil
		}
		return e.Subject, b.publish(ctx, e, e.body)
	}
}

// Events has a worker of this node work on an event of the log again. The event
// stays where it is: it is read from there.
func Events(work func(ctx context.Context, consumer string, sequence uint64, dry bool) error) Again {
	return func(ctx context.Context, e Entry, dry bool) (string, error) {
		return "consumer " + e.Consumer, work(ctx, e.Consumer, e.Source, dry)
	}
}
