package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
)

// Changes names every aggregate that changes from now on, with the sequence of
// its event, after the event is in the log. It reads no event, so that a node
// can afford to hear of all of them. It calls ready once none after the
// head is missed any more, and returns when the context ends or the log can't be heard.
func (f Feed) Changes(ctx context.Context, ready func(head uint64), changed func(key domain.Key, sequence uint64)) error {
	head, err := f.Head(ctx)
	if err != nil {
		return err
	}
	consumer, err := f.JS.OrderedConsumer(ctx, f.Namespace.Events(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{f.Namespace.AllEvents()}, HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: head + 1, InactiveThreshold: idle,
	})
	if err != nil {
		return fmt.Errorf("listen for changes after %d: %w", head, unavailable(err))
	}
	defer f.release(ctx, consumer)
	lost := make(chan error, 1)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		link, grant, err := aggregate(m.Subject())
		meta, metaErr := m.Metadata()
		if err := errors.Join(err, metaErr); err == nil {
			changed(domain.Key{Link: link, Grant: grant}, meta.Sequence.Stream)
		}
	}, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		select {
		case lost <- err:
		default:
		}
	}))
	if err != nil {
		return fmt.Errorf("listen for changes after %d: %w", head, unavailable(err))
	}
	defer func() {
		consuming.Stop()
		<-consuming.Closed()
	}()
	ready(head)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-lost: // whatever it is: whoever relies on hearing everything starts anew
		return fmt.Errorf("listen for changes: %w", err)
	}
}
