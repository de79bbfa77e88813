package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
)

// Box is the stream DEAD of a namespace.
type Box struct {
	JS        jetstream.JetStream
	Namespace bus.Namespace
}

// Filter chooses letters.
type Filter struct {
	Kind    string    `json:"kind,omitempty"`
	Subject string    `json:"subject,omitempty"` // a part of the subject that it came on
	Since   time.Time `json:"since,omitzero"`
	Before  uint64    `json:"before,omitempty"` // only those with a lower sequence: the next page
	Limit   int       `json:"limit,omitempty"`  // 0 means 50
}

// mostListed bounds an answer to what one message may have.
const mostListed = 500

func (f Filter) check() error {
	if f.Kind != "" && f.Kind != Command && f.Kind != Notice && f.Kind != Event && f.Kind != Expiry {
		return domain.Errorf(domain.InvalidArgument, "kind %q: use command, notice, event or expiry", f.Kind)
	}
	if f.Limit < 0 || f.Limit > mostListed {
		return domain.Errorf(domain.InvalidArgument, "limit is %d; use 1 to %d, and before for the next page", f.Limit, mostListed)
	}
	return nil
}

func (f Filter) takes(e Entry) bool {
	return strings.Contains(e.Subject, f.Subject) && (f.Before == 0 || e.Sequence < f.Before)
}

// List returns letters without their bodies, newest first.
func (b Box) List(ctx context.Context, f Filter) ([]Entry, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	limit, entries := cmp.Or(f.Limit, 50), []Entry{}
	err := b.each(ctx, f, func(e Entry) {
		if !f.takes(e) {
			return
		}
		if entries = append(entries, e); len(entries) > limit {
			entries = entries[1:]
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list what was set aside: %w", unavailable(err))
	}
	for i, j := 0, len(entries)-1; i < j; i, j = i+1, j-1 {
		entries[i], entries[j] = entries[j], entries[i]
	}
	return entries, nil
}

// page is how many headers are fetched at once.
const page = 500

// each reads the headers of DEAD from its beginning: sequences have gaps, so that
// walking back from its end could take as many requests as there ever were letters.
func (b Box) each(ctx context.Context, f Filter, handle func(Entry)) error {
	config := jetstream.ConsumerConfig{
		FilterSubject: b.Namespace.Dead(cmp.Or(f.Kind, ">")), HeadersOnly: true, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
	}
	if !f.Since.IsZero() {
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &f.Since
	}
	consumer, err := b.JS.CreateConsumer(ctx, b.Namespace.DeadStream(), config)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = b.JS.DeleteConsumer(ctx, b.Namespace.DeadStream(), consumer.CachedInfo().Name) // else its threshold ends it
	}()
	for left := int(consumer.CachedInfo().NumPending); left > 0; {
		fetched, err := consumer.Fetch(min(left, page), jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		for m := range fetched.Messages() {
			about, err := m.Metadata()
			if err != nil {
				return err
			}
			handle(entry(m.Subject(), about.Sequence.Stream, about.Timestamp, m.Headers(), nil))
			left = int(about.NumPending)
		}
		if err := fetched.Error(); err != nil {
			return err
		}
	}
	return nil
}

// get reads one letter.
func (b Box) get(ctx context.Context, sequence uint64) (Entry, error) {
	stream, err := b.JS.Stream(ctx, b.Namespace.DeadStream())
	if err != nil {
		return Entry{}, unavailable(err)
	}
	m, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Entry{}, domain.Errorf(domain.NotFound, "nothing is set aside under %d; what there is: outlink dead ls", sequence)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("read what was set aside under %d: %w", sequence, unavailable(err))
	}
	return entry(m.Subject, m.Sequence, m.Time, m.Header, m.Data), nil
}

// remove deletes one letter; that it is gone already is fine.
func (b Box) remove(ctx context.Context, sequence uint64) error {
	stream, err := b.JS.Stream(ctx, b.Namespace.DeadStream())
	if err == nil {
		err = stream.DeleteMsg(ctx, sequence)
	}
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return fmt.Errorf("remove %d from what was set aside: %w", sequence, unavailable(err))
}

// unavailable gives errors of the bus the code that callers decide on.
func unavailable(err error) error {
	var own *domain.Error
	if errors.As(err, &own) {
		return err
	}
	return errors.Join(domain.Errorf(domain.Unavailable, "JetStream does not answer; try again"), err)
}
