// Package jobs consumes what is one job a message (expiry events, durable
// commands) through Watermill's Router and its middleware.
//
// Watermill stays behind this package, because its JetStream subscriber has traps:
// it ends badly when it is busy (see gate), or when the router is closed before
// it; an unmarshaler that fails, as the default one does for a repeated
// header, panics too; one subscription handles one message at a time.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmjetstream "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
)

// Job is one message of a stream.
type Job struct {
	Subject   string
	Header    nats.Header
	Body      []byte
	Sequence  uint64    // in its stream
	At        time.Time // when it was stored there
	Delivered uint64    // how many times, this one included
}

// Dead is the error of a job that will never succeed: it is set aside with its
// reason instead of being tried again.
type Dead struct{ Reason error }

func (d *Dead) Error() string { return d.Reason.Error() }
func (d *Dead) Unwrap() error { return d.Reason }

// Consumer runs the jobs of one durable consumer. All fields are required.
type Consumer struct {
	Connect  func() (*nats.Conn, error) // a connection of its own, which closing drains
	Stream   string
	Durable  string
	Parallel int
	Handle   func(ctx context.Context, j Job) error
	SetAside func(ctx context.Context, j Job, d *Dead) error
	Drain    time.Duration // how long jobs in hand may take at the end
	Log      *slog.Logger
}

// again is the pause before a consumer starts anew that could not reach the
// server.
const again = time.Second

// Run consumes until the context ends, then finishes the jobs in hand. While the
// server cannot be reached it tries again; a consumer that does not exist is an
// error.
func (c Consumer) Run(ctx context.Context) error {
	for {
		err := c.run(ctx)
		missing := errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)
		switch {
		case ctx.Err() != nil && errors.Is(err, ctx.Err()): // ended while it started
			return nil
		case err == nil, missing, ctx.Err() != nil:
			return err
		}
		c.Log.Warn("a consumer starts anew", "consumer", c.Durable, "error", err)
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return nil
		}
	}
}

func (c Consumer) run(ctx context.Context) error {
	nc, err := c.Connect()
	if err != nil {
		return fmt.Errorf("consume %s: %w", c.Durable, err)
	}
	defer nc.Close()
	consumer, err := c.lookup(ctx, nc)
	if err != nil {
		return fmt.Errorf("consume %s: %w", c.Durable, err)
	}
	var ending atomic.Bool
	logger := watermill.NewSlogLogger(slog.New(quiet{c.Log.Handler(), &ending}))
	gate := newGate()
	subscriber, err := wmjetstream.NewSubscriber(wmjetstream.SubscriberConfig{
		Conn: nc, Logger: logger, AckWaitTimeout: bus.AckWait,
		ResourceInitializer: behind(gate, consumer),
		ConsumeOptions:      []jetstream.PullConsumeOpt{jetstream.PullMaxMessages(1)},
		NakDelay:            wmjetstream.NewStaticDelay(2 * time.Second),
		Unmarshaler:         unmarshaler{},
	})
	if err != nil {
		return fmt.Errorf("consume %s: %w", c.Durable, err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: c.Drain}, logger)
	if err != nil {
		return fmt.Errorf("consume %s: %w", c.Durable, err)
	}
	router.AddMiddleware(c.setAside, middleware.Recoverer)
	for i := range c.Parallel { // one subscription handles one message at a time
		router.AddConsumerHandler(fmt.Sprintf("%s-%d", c.Durable, i), c.Stream, subscriber, c.handle)
	}
	stopped := make(chan error, 1)
	// Its own context: ending the router's would close it before its subscriber.
	go func() { stopped <- router.Run(context.WithoutCancel(ctx)) }()
	byItself := func(err error) error {
		gate.close(c.Drain)
		return errors.Join(fmt.Errorf("consume %s: the router stopped by itself", c.Durable), err, subscriber.Close())
	}
	select { // also when the context has ended: closing a subscriber that is still subscribing is a data race
	case err := <-stopped:
		return byItself(err)
	case <-router.Running():
	}
	gate.open()
	select {
	case err := <-stopped:
		return byItself(err)
	case <-ctx.Done():
	}
	ending.Store(true)
	gate.close(c.Drain)
	return errors.Join(subscriber.Close(), router.Close())
}

// lookup finds the durable consumer once for all subscriptions: each of them
// asking for it would be one more that can fail.
func (c Consumer) lookup(ctx context.Context, nc *nats.Conn) (jetstream.Consumer, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return js.Consumer(ctx, c.Stream, c.Durable)
}

func (c Consumer) handle(m *message.Message) error {
	// The work is not cut off by a shutdown, which waits for it.
	return c.Handle(context.WithoutCancel(m.Context()), job(m))
}

// setAside is the poison queue: a job that will never succeed is kept with its
// reason, and acknowledged only after that.
func (c Consumer) setAside(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		produced, err := next(m)
		if dead := hopeless(err, job(m)); dead != nil {
			err = c.SetAside(context.WithoutCancel(m.Context()), job(m), dead)
		}
		if err != nil {
			c.Log.Warn("a job failed and will be tried again", "consumer", c.Durable, "subject", job(m).Subject, "error", err)
		}
		return produced, err
	}
}

// tries is how often a job is tried that this node cannot decode, or panics at:
// another node may be of a newer version.
const tries = 5

// hopeless says why a job will not succeed, if that is so.
func hopeless(err error, j Job) *Dead {
	var dead *Dead
	var panicked middleware.RecoveredPanicError
	switch {
	case errors.As(err, &dead):
		return dead
	case j.Delivered >= tries && errors.As(err, &panicked):
		return &Dead{Reason: fmt.Errorf("the handler panicked: %w", err)}
	case j.Delivered >= tries && errors.Is(err, domain.ErrUndecodable):
		return &Dead{Reason: err}
	}
	return nil
}

// behind gives the library the durable consumer as it exists, behind a gate.
func behind(g *gate, consumer jetstream.Consumer) wmjetstream.ResourceInitializer {
	return func(context.Context, jetstream.JetStream, string) (jetstream.Consumer, func(context.Context, watermill.LoggerAdapter), error) {
		return gated{consumer, g}, nil, nil
	}
}

// Watermill's metadata carries what is no header. A header has no such name: these
// are set last.
const (
	subjectKey   = "outlink_subject"
	sequenceKey  = "outlink_sequence"
	atKey        = "outlink_at"
	deliveredKey = "outlink_delivered"
)

type unmarshaler struct{}

// Unmarshal never fails; of a repeated header the first value counts.
func (unmarshaler) Unmarshal(m jetstream.Msg) (*message.Message, error) {
	wm := message.NewMessage(watermill.NewUUID(), m.Data())
	for key, values := range m.Headers() {
		if len(values) > 0 {
			wm.Metadata.Set(key, values[0])
		}
	}
	wm.Metadata.Set(subjectKey, m.Subject())
	if about, err := m.Metadata(); err == nil { // always, for a message of a consumer
		wm.Metadata.Set(sequenceKey, strconv.FormatUint(about.Sequence.Stream, 10))
		wm.Metadata.Set(atKey, strconv.FormatInt(about.Timestamp.UnixNano(), 10))
		wm.Metadata.Set(deliveredKey, strconv.FormatUint(about.NumDelivered, 10))
	}
	return wm, nil
}

func job(m *message.Message) Job {
	at, _ := strconv.ParseInt(m.Metadata.Get(atKey), 10, 64) // Unmarshal wrote it
	j := Job{
		Subject: m.Metadata.Get(subjectKey), Header: nats.Header{}, Body: m.Payload,
		Sequence: number(m, sequenceKey), At: time.Unix(0, at), Delivered: number(m, deliveredKey),
	}
	for key, value := range m.Metadata {
		switch key {
		case subjectKey, sequenceKey, atKey, deliveredKey:
		default:
			j.Header[key] = []string{value}
		}
	}
	return j
}

func number(m *message.Message, key string) uint64 {
	n, _ := strconv.ParseUint(m.Metadata.Get(key), 10, 64) // Unmarshal wrote it
	return n
}

// quiet passes on warnings and errors: Watermill reports every message at info.
// While the consumer ends it passes on nothing: that all handlers have stopped is
// called an error then, by a goroutine that comes late. A job whose acknowledgement
// fails in that time comes again.
type quiet struct {
	slog.Handler
	ending *atomic.Bool
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && !q.ending.Load() && q.Handler.Enabled(ctx, l)
}
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a), q.ending} }
func (q quiet) WithGroup(n string) slog.Handler      { return quiet{q.Handler.WithGroup(n), q.ending} }
