package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
)

// Filter says which events are wanted; the zero Filter wants all of links and
// grants.
type Filter struct {
	Link  uuid.UUID // and its grants
	Grant uuid.UUID // of Link, and nothing else of it
	Types []string  // such as "outlink.grant.token_issued.v1"; left out here, not at the server
}

// Subscribe delivers the events after a sequence of the log, 0 for all, and goes
// on with new ones until the context ends or handle returns an error, which it
// returns. Events come in the log's order, each at least once: a program that
// keeps the sequence of what it has handled, and begins there next time, misses
// none. A lost connection is waited for.
func (c Client) Subscribe(ctx context.Context, from uint64, f Filter, handle func(context.Context, domain.Record) error) error {
	if err := errors.Join(f.check(), told(handle == nil)); err != nil {
		return err
	}
	consumer := jetstream.OrderedConsumerConfig{FilterSubjects: c.subjects(f)}
	return c.follow(ctx, "EVENTS", consumer, from, func(m jetstream.Msg, sequence uint64) error {
		r, err := record(m, sequence)
		if domain.Junk(err) {
			return nil // somebody put it there who may write to the log, and has nothing to say
		}
		if err != nil {
			return err
		}
		if !f.wants(r.Type) {
			return nil
		}
		return handle(ctx, r)
	})
}

// types are those of events, of this version and of later ones.
var types = regexp.MustCompile(`^outlink\.[a-z]+\.[a-z_]+\.v[0-9]+$`)

// check refuses a filter that no event ever passes.
func (f Filter) check() error {
	if f.Grant != uuid.Nil && f.Link == uuid.Nil {
		return domain.Errorf(domain.InvalidArgument, "the filter names grant %s without its link; give both", f.Grant)
	}
	for _, typ := range f.Types {
		if !types.MatchString(typ) {
			return domain.Errorf(domain.InvalidArgument, "%q is no type of an event; give it whole, such as outlink.grant.token_issued.v1", typ)
		}
	}
	return nil
}

// told refuses to read for nobody.
func told(nobody bool) error {
	if nobody {
		return domain.Errorf(domain.InvalidArgument, "handle is missing; give the function that is told")
	}
	return nil
}

func (c Client) subjects(f Filter) []string {
	events := c.Namespace + ".events."
	switch {
	case f.Grant != uuid.Nil:
		return []string{events + "grant." + f.Link.String() + "." + f.Grant.String()}
	case f.Link != uuid.Nil:
		return []string{events + "link." + f.Link.String(), events + "grant." + f.Link.String() + ".*"}
	}
	return []string{events + ">"} // one filter: two with wildcards are a hundred times slower at the server
}

func (f Filter) wants(typ string) bool {
	if len(f.Types) > 0 {
		return slices.Contains(f.Types, typ)
	}
	return !strings.HasPrefix(typ, "outlink.name.") // reservations of names: of no use outside
}

// follow delivers the messages of a stream after a sequence. It begins anew after
// the last one handled, whatever ended the consumer; only the first beginning
// may fail, so that a wrong namespace is told and not waited for.
func (c Client) follow(ctx context.Context, stream string, o jetstream.OrderedConsumerConfig, after uint64, handle func(jetstream.Msg, uint64) error) error {
	js, err := jetstream.New(c.NC)
	if err != nil {
		return err
	}
	f := following{js: js, stream: streamName(c.Namespace, stream), consumer: o, last: after, handle: handle}
	pause := firstPause
	for began := false; ; {
		moved, err := f.run(ctx)
		began = began || moved
		var own handled
		switch {
		case errors.As(err, &own):
			return own.error
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrConnectionClosed), !began:
			return errors.Join(domain.Errorf(domain.Unavailable, "stream %s cannot be read: %v", f.stream, err), err)
		}
		if moved {
			pause = firstPause
		}
		if !wait(ctx, pause) {
			return ctx.Err()
		}
		pause = min(2*pause, longPause)
	}
}

func streamName(namespace, stream string) string {
	return strings.ToUpper(strings.ReplaceAll(namespace, "-", "_")) + "_" + stream
}

// handled is an error of the handler, which ends the following.
type handled struct{ error }

type following struct {
	js       jetstream.JetStream
	stream   string
	consumer jetstream.OrderedConsumerConfig
	last     uint64
	handle   func(jetstream.Msg, uint64) error
}

// run follows until something breaks; began: it could begin.
func (f *following) run(ctx context.Context) (began bool, err error) {
	if f.last > 0 || f.consumer.DeliverPolicy == jetstream.DeliverAllPolicy {
		f.consumer.DeliverPolicy, f.consumer.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.last+1
	}
	consumer, err := f.js.OrderedConsumer(ctx, f.stream, f.consumer)
	if err != nil {
		return false, err
	}
	defer f.release(ctx, consumer)
	messages, err := consumer.Messages()
	if err != nil {
		return false, err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return true, err
		}
		if err := f.deliver(m); err != nil {
			return true, err
		}
	}
}

// release deletes the consumer, which the server would keep for minutes more; a
// stream has a thousand of them at most.
func (f *following) release(ctx context.Context, c jetstream.Consumer) {
	info := c.CachedInfo()
	if info == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = f.js.DeleteConsumer(ctx, f.stream, info.Name)
}

func (f *following) deliver(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return handled{fmt.Errorf("message on %s has no place in a stream: %w", m.Subject(), err)}
	}
	if meta.Sequence.Stream <= f.last {
		return nil // it came before the consumer was made anew
	}
	if err := f.handle(m, meta.Sequence.Stream); err != nil {
		return handled{err}
	}
	f.last = meta.Sequence.Stream
	return nil
}

// record reads an event: CloudEvents 1.0 in binary mode (attributes in headers),
// with Outlink's own beside them.
func record(m jetstream.Msg, sequence uint64) (domain.Record, error) {
	h := func(key string) string {
		if v := m.Headers()[key]; len(v) > 0 { // as written: Get would look for Ce-Id
			return v[0]
		}
		return ""
	}
	r := domain.Record{
		Sequence: sequence, Type: h("ce-type"), Actor: h("ce-actor"), Data: m.Data(),
		Correlation: h("ce-correlationid"), Causation: h("ce-causationid"), Traceparent: h("traceparent"), Hash: h("Outlink-Hash"),
	}
	var errs [4]error
	r.ID, errs[0] = uuid.Parse(h("ce-id"))
	r.Time, errs[1] = time.Parse(time.RFC3339Nano, h("ce-time"))
	r.Version, errs[2] = strconv.ParseUint(h("Outlink-Version"), 10, 64)
	r.Link, r.Grant, errs[3] = aggregate(m.Subject())
	if err := errors.Join(errs[:]...); err != nil {
		formed := domain.Formed(h("ce-id"), r.Type, h("Outlink-MAC"))
		return r, &domain.UnreadableError{Sequence: sequence, Subject: m.Subject(), Type: r.Type, Formed: formed, Err: err}
	}
	if state := h("Outlink-State"); state != "" {
		r.State = json.RawMessage(state)
		r.StateVersion, _ = strconv.Atoi(h("Outlink-State-Version")) // 0 is no version's
	}
	return r, nil
}

// aggregate reads the ids at the end of an event's subject.
func aggregate(subject string) (link, grant uuid.UUID, err error) {
	_, rest, _ := strings.Cut(subject, ".events.")
	tokens := strings.Split(rest, ".")
	if len(tokens) < 2 {
		return link, grant, fmt.Errorf("subject %q names no aggregate", subject)
	}
	if link, err = uuid.Parse(tokens[1]); err == nil && len(tokens) > 2 {
		grant, err = uuid.Parse(tokens[2])
	}
	return link, grant, err
}
