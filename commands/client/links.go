package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/domain/link"
)

// Link is a link as an event left it.
type Link struct {
	ID       uuid.UUID
	Sequence uint64 // of that event, in the log
	State    link.State
}

// WatchLinks calls handle with the list of links as it is now, once, in the order
// of their last change; then with each link that changes, a deleted one among
// them, until the context ends or handle returns an error, which it returns.
//
// It reads the log and needs no read model. At the start it costs one message of
// about 2 KB for each link there ever was, deleted ones included, and the list
// is held in memory; afterwards one message a change. What happens to grants is
// not among the changes: see [Client.Subscribe].
func (c Client) WatchLinks(ctx context.Context, handle func(context.Context, []Link) error) error {
	if err := told(handle == nil); err != nil {
		return err
	}
	subject := c.Namespace + ".events.link.>"
	end, err := c.lastOf(ctx, subject)
	if err != nil {
		return err
	}
	list := map[uuid.UUID]Link{} // with deleted ones; nil: it was handed over
	give := func() error {
		links := slices.SortedFunc(maps.Values(list), func(a, b Link) int { return cmp.Compare(a.Sequence, b.Sequence) })
		list = nil
		return handle(ctx, slices.DeleteFunc(links, Link.gone))
	}
	if end == 0 {
		if err := give(); err != nil {
			return err
		}
	}
	// In the order of the stream, so that begun anew in the middle of the list it
	// goes on with every event after the last one, and misses none.
	consumer := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	return c.follow(ctx, "EVENTS", consumer, 0, func(m jetstream.Msg, sequence uint64) error {
		l, err := c.link(ctx, m, sequence)
		switch {
		case domain.Junk(err) && list == nil:
			return nil // nothing has changed
		case domain.Junk(err): // the link is as the event before left it
			l, err = c.foldLink(ctx, m.Subject(), sequence)
		}
		if err != nil {
			return err
		}
		if _, listed := list[l.ID]; listed && sequence > end { // it has changed since the list was whole
			if err := give(); err != nil {
				return err
			}
		}
		if list == nil {
			return handle(ctx, []Link{l})
		}
		list[l.ID] = l
		// What changed since end was looked up comes behind all others, instead of
		// what it was before.
		if about, err := m.Metadata(); err != nil || sequence < end || about.NumPending > 0 {
			return err
		}
		return give()
	})
}

// gone reports whether a link is not in the list.
func (l Link) gone() bool {
	status := l.State.Status()
	return status == link.StatusDeleted || status == link.StatusAbsent
}

// lastOf is the sequence of the last event on a subject; 0 for none.
func (c Client) lastOf(ctx context.Context, subject string) (uint64, error) {
	js, err := jetstream.New(c.NC)
	if err != nil {
		return 0, err
	}
	name := streamName(c.Namespace, "EVENTS")
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, errors.Join(domain.Errorf(domain.Unavailable, "stream %s cannot be read: %v", name, err), err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, errors.Join(domain.Errorf(domain.Unavailable, "stream %s cannot be read: %v", name, err), err)
	}
	return m.Sequence, nil
}

// link reads a link's state beside its event, or folds its history when a node
// of another version wrote it.
func (c Client) link(ctx context.Context, m jetstream.Msg, sequence uint64) (Link, error) {
	r, err := record(m, sequence)
	if err != nil {
		return Link{}, err
	}
	l := Link{ID: r.Link, Sequence: sequence}
	if v := m.Headers()["Outlink-State-Version"]; r.State == nil || len(v) == 0 || v[0] != fmt.Sprint(link.StateVersion) {
		return c.foldLink(ctx, m.Subject(), sequence)
	}
	if err := json.Unmarshal(r.State, &l.State); err != nil {
		return l, fmt.Errorf("decode the state beside event %d: %w", sequence, err)
	}
	return l, nil
}

var errFolded = errors.New("folded")

// foldLink folds what is on a link's subject up to a sequence.
func (c Client) foldLink(ctx context.Context, subject string, until uint64) (l Link, err error) {
	only := jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}}
	err = c.follow(ctx, "EVENTS", only, 0, func(m jetstream.Msg, sequence uint64) error {
		r, err := record(m, sequence)
		switch {
		case domain.Junk(err):
		case err != nil:
			return err
		default:
			e, err := link.Kinds.Decode(r.Type, r.Data)
			if err != nil {
				return fmt.Errorf("event %d: %w", sequence, err)
			}
			l = Link{ID: r.Link, Sequence: sequence, State: link.Evolve(l.State, e)}
		}
		if sequence >= until {
			return errFolded
		}
		return nil
	})
	if errors.Is(err, errFolded) {
		err = nil
	}
	return l, err
}
