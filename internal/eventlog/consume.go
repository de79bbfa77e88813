package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
)

// Durable hands the events of links and grants of a durable consumer to a worker in batches, and
// acknowledges a batch when the worker is done with it.
type Durable struct {
	JS     jetstream.JetStream
	Stream string
	Name   string
	Batch  int
	Guard  *Guard
	Handle func(ctx context.Context, batch []domain.Record) error

	// Foreign is told of messages that are no events, each at least once; nil:
	// they are only passed over.
	Foreign func(ctx context.Context, f Foreign) error
	Log     *slog.Logger

	// SetAside keeps an event that the worker cannot decode, or whose aggregate it
	// cannot, with the reason; the others go on.
	SetAside func(ctx context.Context, subject string, sequence uint64, reason error) error
}

// tries is how often an event is tried that cannot be decoded, with a pause that
// doubles from pause on: another node may be of a newer version.
const (
	tries = 4
	pause = time.Second
)

// Foreign is a message in the log that none of the namespace's nodes wrote.
type Foreign struct {
	Link     uuid.UUID // of its subject, as far as that names one
	Grant    uuid.UUID
	Sequence uint64
	At       time.Time // when the stream took it
	Reason   string
}

// Run consumes until the context ends. What fails is tried again after a pause,
// and events are never skipped, but those that nobody could decode.
func (d Durable) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := d.once(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("a batch of events failed and will be tried again", "consumer", d.Name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func (d Durable) once(ctx context.Context) error {
	consumer, err := d.JS.Consumer(ctx, d.Stream, d.Name)
	if err != nil {
		return fmt.Errorf("look up consumer %s: %w", d.Name, err)
	}
	for ctx.Err() == nil {
		fetched, err := consumer.Fetch(1, jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		first := collect(fetched)
		if err := fetched.Error(); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		if len(first) == 0 {
			continue
		}
		more, err := consumer.FetchNoWait(d.Batch - 1) // what else is there
		if err != nil {
			return err
		}
		messages := slices.Concat(first, collect(more))
		done := atWork(messages, max(consumer.CachedInfo().Config.AckWait/3, 100*time.Millisecond))
		err = d.work(ctx, messages)
		if done(); err != nil {
			return err
		}
	}
	return nil
}

// atWork has the server wait on for messages that take long, which else another node
// would get as well, until done is called.
func atWork(messages []jetstream.Msg, every time.Duration) (done func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(every); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				for _, m := range messages {
					_ = m.InProgress() // what was acknowledged says so
				}
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

func collect(b jetstream.MessageBatch) []jetstream.Msg {
	var all []jetstream.Msg
	for m := range b.Messages() {
		all = append(all, m)
	}
	return all
}

// read reads a message, and tells of it if it is foreign.
func (d Durable) read(ctx context.Context, delivery jetstream.Msg) (domain.Record, error) {
	m, _, err := delivered(delivery)
	if err != nil {
		return domain.Record{}, err
	}
	reason, err := d.Guard.foreign(ctx, m)
	if err == nil && reason == "" {
		return parse(m)
	}
	if err == nil && d.Foreign != nil {
		meta, _ := delivery.Metadata() // it was read before
		f := Foreign{Sequence: m.sequence, At: meta.Timestamp, Reason: reason}
		f.Link, f.Grant, _ = aggregate(m.subject)
		err = d.Foreign(ctx, f)
	}
	return domain.Record{Sequence: m.sequence, Foreign: reason}, err
}

// taken is a message and the event that it is, unless err says why not.
type taken struct {
	m   jetstream.Msg
	r   domain.Record
	err error
}

// work has a batch handled, one event after the other when there is one in it that
// cannot be decoded.
func (d Durable) work(ctx context.Context, messages []jetstream.Msg) error {
	batch := make([]taken, len(messages))
	var err error
	for i, m := range messages {
		r, unread := d.read(ctx, m)
		batch[i] = taken{m, r, unread}
		err = errors.Join(err, unread)
	}
	if err == nil {
		err = d.handle(ctx, batch)
	}
	if !errors.Is(err, domain.ErrUndecodable) {
		return d.settle(batch, err)
	}
	var errs []error
	for i := range batch {
		one := batch[i : i+1]
		if err = one[0].err; err == nil {
			err = d.handle(ctx, one)
		}
		if errors.Is(err, domain.ErrUndecodable) {
			errs = append(errs, d.poisoned(ctx, one[0].m, err))
		} else {
			errs = append(errs, d.settle(one, err))
		}
	}
	return errors.Join(errs...)
}

func (d Durable) handle(ctx context.Context, batch []taken) error {
	records := make([]domain.Record, 0, len(batch))
	for _, b := range batch {
		if b.r.Foreign == "" && !ofName(b.r) {
			records = append(records, b.r)
		}
	}
	if len(records) == 0 {
		return nil
	}
	return d.Handle(ctx, records)
}

// settle acknowledges what is done, and gives back what failed.
func (d Durable) settle(batch []taken, err error) error {
	for _, b := range batch {
		if err != nil {
			_ = b.m.NakWithDelay(time.Second) // a lost one is delivered again after its wait
			continue
		}
		if ackErr := b.m.Ack(); ackErr != nil {
			return ackErr
		}
	}
	return err
}

// poisoned gives an event back that cannot be decoded, and sets it aside at last.
func (d Durable) poisoned(ctx context.Context, m jetstream.Msg, reason error) error {
	about, err := m.Metadata()
	if err != nil {
		return err
	}
	if n := about.NumDelivered; n < tries {
		return m.NakWithDelay(pause << (n - 1))
	}
	if err := d.SetAside(ctx, m.Subject(), about.Sequence.Stream, reason); err != nil {
		return errors.Join(err, m.NakWithDelay(time.Second))
	}
	d.Log.Error("an event cannot be decoded and is set aside", "consumer", d.Name, "subject", m.Subject(), "sequence", about.Sequence.Stream, "error", reason)
	return m.Ack()
}
