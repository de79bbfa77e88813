package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
)

// The bounds of a batch.
const (
	batchEvents = 2000
	batchBytes  = 1 << 20
)

// pullBytes bounds what the server sends ahead, twice; batchEvents do as well.
const pullBytes = 8 << 20

// pull is how a reader asks for messages. One that is larger than the bound would
// never come, and nothing behind it.
func (f Feed) pull() jetstream.PullConsumeOpt {
	const protocol = 64 << 10 // subjects, and what the server counts
	return jetstream.PullMaxMessagesWithBytesLimit(cmp.Or(f.ahead, batchEvents), max(pullBytes, int(f.JS.Conn().MaxPayload())+protocol))
}

// Feed delivers the log of links and grants in its order.
type Feed struct {
	JS        jetstream.JetStream
	Namespace bus.Namespace
	Guard     *Guard // nil: foreign messages are not told from events

	// Junk is told of each message that has not even the form of an event, and of that
	// its place alone is delivered; nil: such a message is an error. It is for who has
	// no guard, which knows of more.
	Junk func(domain.Record)

	ahead int // messages that the server sends before they are asked for; 0: batchEvents
}

// Sparing is a feed whose readers have few messages sent ahead: for many at once that may
// be slow.
func (f Feed) Sparing() Feed {
	f.ahead = 100
	return f
}

// Follow delivers every event after a sequence, in batches of what is there:
// under load up to 2,000 events or 1 MiB, at rest each event at once. It returns
// the first error of handle, the context's, or a *[domain.UnreadableError] for a
// message that is no event, after all events before it were handed over. Of a
// foreign message the guard leaves its place alone, see [domain.Record.Foreign].
func (f Feed) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	return f.FollowSubjects(ctx, nil, after, handle)
}

// FollowSubjects is Follow for some subjects of the log only; none means all of
// links and grants.
//
// All of them are one filter, and what is of names is left out here: with two
// wildcards the server goes through all subjects for every message, a hundred
// times slower at a few thousand of them (measured).
func (f Feed) FollowSubjects(ctx context.Context, subjects []string, after uint64, handle func(context.Context, []domain.Record) error) error {
	if len(subjects) == 0 {
		whole := handle
		subjects, handle = []string{f.Namespace.AllEvents()}, func(ctx context.Context, batch []domain.Record) error {
			if batch = slices.DeleteFunc(batch, ofName); len(batch) == 0 {
				return nil
			}
			return whole(ctx, batch)
		}
	}
	for {
		err := f.follow(ctx, subjects, after, func(ctx context.Context, batch []domain.Record) error {
			after = batch[len(batch)-1].Sequence
			return handle(ctx, batch)
		})
		if !errors.Is(err, errAnew) {
			return err
		}
	}
}

// follow is FollowSubjects with one consumer, or errAnew where that was replaced.
func (f Feed) follow(ctx context.Context, subjects []string, after uint64, handle func(context.Context, []domain.Record) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	consumer, err := f.JS.OrderedConsumer(ctx, f.Namespace.Events(), jetstream.OrderedConsumerConfig{
		FilterSubjects: subjects, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, InactiveThreshold: idle,
	})
	if err != nil {
		return fmt.Errorf("read the log after %d: %w", after, unavailable(err))
	}
	defer f.release(ctx, consumer)
	// Messages are read where they arrive, while the batch before is handled.
	r := reader{consumer: consumer.CachedInfo().Name, to: newArrivals(), trail: f.Guard.trail(after), lenient: f.Junk != nil}
	consuming, err := consumer.Consume(func(m jetstream.Msg) { r.read(ctx, m) }, f.pull())
	if err != nil {
		return fmt.Errorf("read the log after %d: %w", after, unavailable(err))
	}
	defer func() {
		cancel()
		consuming.Stop()
		<-consuming.Closed()
	}()
	for {
		batch, unread := r.to.take(ctx)
		f.tell(batch)
		if len(batch) > 0 {
			if err := handle(ctx, batch); err != nil {
				return err
			}
		}
		if unread != nil {
			return unread
		}
	}
}

// tell has whoever wants to know hear of junk.
func (f Feed) tell(batch []domain.Record) {
	if f.Junk == nil {
		return
	}
	for _, r := range batch {
		if r.Foreign != "" {
			f.Junk(r)
		}
	}
}

// Event reads one event at its place in the log.
func (f Feed) Event(ctx context.Context, sequence uint64) (domain.Record, error) {
	stream, err := f.JS.Stream(ctx, f.Namespace.Events())
	if err != nil {
		return domain.Record{}, fmt.Errorf("read event %d: %w", sequence, unavailable(err))
	}
	m, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return domain.Record{}, domain.Errorf(domain.NotFound, "the log has no event %d", sequence)
	}
	if err != nil {
		return domain.Record{}, fmt.Errorf("read event %d: %w", sequence, unavailable(err))
	}
	foreign, err := f.Guard.foreign(ctx, raw(m))
	if err == nil && foreign != "" {
		err = domain.Errorf(domain.FailedPrecondition, "message %d of the log is foreign: %s", sequence, foreign)
	}
	if err != nil {
		return domain.Record{}, err
	}
	return parse(raw(m))
}

// Head is the sequence of the log's last event.
func (f Feed) Head(ctx context.Context) (uint64, error) {
	stream, err := f.JS.Stream(ctx, f.Namespace.Events())
	if err != nil {
		return 0, fmt.Errorf("look up the head of the log: %w", unavailable(err))
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// History delivers what is in the log on an aggregate's subject at the time of
// the call, oldest first. It makes no consumer: nodes fold many short histories
// at once, and a stream has a thousand consumers at most.
func History(ctx context.Context, stream jetstream.Stream, guard *Guard, subject string, handle func(domain.Record) error) error {
	last, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the history of %s: %w", subject, unavailable(err))
	}
	trail := guard.trail(0)
	for sequence := uint64(0); sequence < last.Sequence; {
		m, err := stream.GetMsg(ctx, sequence+1, jetstream.WithGetMsgSubject(subject))
		if err != nil { // also of a replica that lags behind the one that knew the last
			return fmt.Errorf("read the history of %s after %d: %w", subject, sequence, unavailable(err))
		}
		sequence = m.Sequence
		if foreign, err := trail.foreign(ctx, raw(m)); err != nil {
			return err
		} else if foreign != "" {
			continue
		}
		r, err := parse(raw(m))
		if err != nil {
			return err
		}
		if err := handle(r); err != nil {
			return err
		}
	}
	return nil
}

// ofName reports whether an event is about a reserved name.
func ofName(r domain.Record) bool { return strings.HasPrefix(r.Type, "outlink.name.") }

// Range reads up to limit events after a sequence, of some subjects or of all
// links and grants, and returns without waiting for new ones.
func (f Feed) Range(ctx context.Context, subjects []string, after uint64, limit int) ([]domain.Record, error) {
	if len(subjects) < 2 {
		return f.read(ctx, subjects, after, limit)
	}
	var all []domain.Record
	for _, subject := range subjects { // one by one: see FollowSubjects
		some, err := f.read(ctx, []string{subject}, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b domain.Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return all[:min(limit, len(all))], nil
}

func (f Feed) read(ctx context.Context, subjects []string, after uint64, limit int) ([]domain.Record, error) {
	head, err := f.Head(ctx)
	if err != nil || head <= after {
		return nil, err
	}
	ends := subjects
	if len(subjects) == 0 {
		ends = f.linksAndGrants()
	}
	end, err := f.LastOf(ctx, ends)
	if err != nil {
		return nil, err
	}
	f.ahead = min(limit+100, batchEvents) // with some that are none of these
	var records []domain.Record
	err = f.Each(ctx, subjects, after, end, func(r domain.Record) error {
		if records = append(records, r); len(records) >= limit {
			return ErrStop
		}
		return nil
	})
	return records, err
}

// ErrStop ends Each early, without an error.
var ErrStop = errors.New("stop")

// Each hands over the events after a sequence, of some subjects or of all links
// and grants, one by one up to a sequence; it holds none of them. The last must
// be one of these events, or a foreign message, which is not handed over.
func (f Feed) Each(ctx context.Context, subjects []string, after, last uint64, handle func(domain.Record) error) error {
	if last <= after {
		return nil
	}
	err := f.FollowSubjects(ctx, subjects, after, func(_ context.Context, batch []domain.Record) error {
		for _, r := range batch {
			if r.Sequence > last {
				return ErrStop
			}
			if r.Foreign == "" {
				if err := handle(r); err != nil {
					return err
				}
			}
			if r.Sequence == last {
				return ErrStop
			}
		}
		return nil
	})
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return err
}
