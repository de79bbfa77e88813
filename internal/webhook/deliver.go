package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/dead"
)

// Delivery sends the messages of a durable consumer. One that fails comes again
// by the consumer's own backoff; the last failure sets it aside.
type Delivery struct {
	JS       jetstream.JetStream
	Stream   string
	Consumer string
	Dead     string // subject of what is set aside
	Sender   *Sender
	Log      *slog.Logger
}

// Run delivers until the context ends.
func (d Delivery) Run(ctx context.Context) error {
	consumer, err := d.JS.Consumer(ctx, d.Stream, d.Consumer)
	if err != nil {
		return fmt.Errorf("look up consumer %s: %w", d.Consumer, err)
	}
	// One at a time: what waits in hand would be delivered again meanwhile.
	it, err := consumer.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return fmt.Errorf("consume %s: %w", d.Consumer, err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("consume %s: %w", d.Consumer, err)
		}
		if err := d.deliver(ctx, m, consumer.CachedInfo().Config); err != nil && ctx.Err() == nil {
			d.Log.Warn("a notice was not delivered", "subject", m.Subject(), "error", err)
		}
	}
}

func (d Delivery) deliver(ctx context.Context, m jetstream.Msg, c jetstream.ConsumerConfig) error {
	about, err := m.Metadata()
	if err != nil {
		return err
	}
	var head struct {
		ID   string    `json:"id"`
		Kind string    `json:"kind"`
		At   time.Time `json:"at"`
	}
	if err := json.Unmarshal(m.Data(), &head); err != nil {
		return errors.Join(err, d.setAside(ctx, m, errors.New("the notice is not readable")))
	}
	most, underWay := c.MaxDeliver, keepUnderWay(m, c)
	err = d.Sender.Send(ctx, head.ID, "outlink."+head.Kind, head.At, m.Data())
	underWay()
	switch {
	case err == nil:
		return m.Ack()
	case errors.Is(err, ErrGone), about.NumDelivered >= uint64(most):
		return errors.Join(err, d.setAside(ctx, m, err))
	}
	return fmt.Errorf("try %d of %d: %w", about.NumDelivered, most, err)
}

// keepUnderWay tells the server, until it is ended, that a delivery is being
// made: a receiver may take longer than the first pause.
func keepUnderWay(m jetstream.Msg, c jetstream.ConsumerConfig) (end func()) {
	every := c.AckWait
	if len(c.BackOff) > 0 {
		every = c.BackOff[0]
	}
	tick := time.NewTicker(max(every/3, 10*time.Millisecond))
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-tick.C:
				_ = m.InProgress() // one that is lost is followed by another
			case <-stop:
				return
			}
		}
	}()
	return func() {
		tick.Stop()
		close(stop)
		<-ended
	}
}

func (d Delivery) setAside(ctx context.Context, m jetstream.Msg, reason error) error {
	about, err := m.Metadata()
	if err != nil {
		return err
	}
	if err := dead.Put(ctx, d.JS, d.Dead, dead.Letter{
		Subject: m.Subject(), Sequence: about.Sequence.Stream, Consumer: d.Consumer, Body: m.Data(),
		Reason: domain.Errorf(domain.Unavailable, "%v", reason),
	}); err != nil {
		return err
	}
	return m.Term()
}
