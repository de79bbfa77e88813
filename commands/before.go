package commands

import (
	"context"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
)

// before is where in a history a command may have had its effect already. The
// zero value is nowhere but at its end.
type before struct {
	possible bool
	since    time.Time // zero: from the first event on
	until    string    // type of an event that came before the command, whenever the last one was; mostly none
}

// skew is how far the clock of who makes an id may be ahead of a node's.
const skew = time.Hour

// before says so of a command with an id of its sender's own. Outcomes are kept
// for 30 days, and a node that is killed keeps none; events answer for ever. A
// UUIDv7 says when it was made (RFC 9562 section 5.7), so that a new command looks
// at next to nothing. Any other id may be of any age.
func (d Door) before(own uuid.UUID) before {
	switch {
	case d.Again:
		return before{possible: true}
	case own == uuid.Nil: // the door's, which knows by itself when it comes again, or a new one
		return before{}
	case own.Version() != 7:
		return before{possible: true}
	}
	return before{possible: true, since: time.Unix(own.Time().UnixTime()).Add(-skew)}
}

// effect finds what a command did to an aggregate: behind an event that was looked
// at before, up to the loaded one. It returns the aggregate's state now, with the
// place of that effect.
func effect[S, E any](ctx context.Context, log Log[S, E], key domain.Key, at Loaded[S], h Header, behind uint64) (Loaded[S], bool, error) {
	if h.CommandID != uuid.Nil && at.Causation == h.CommandID.String() {
		return at, true, nil
	}
	return find(ctx, log, key, at, h.before, behind, h.caused)
}

func (h Header) caused(r domain.Record) bool { return r.Causation == h.CommandID.String() }

// find is effect for what is told by more than its causation.
func find[S, E any](ctx context.Context, log Log[S, E], key domain.Key, at Loaded[S], b before, behind uint64, is func(domain.Record) bool) (Loaded[S], bool, error) {
	if !b.possible || at.Version == 0 || at.Time.Before(b.since) {
		return at, false, nil
	}
	found := false
	err := log.Back(ctx, key, at, func(r domain.Record) (enough bool) {
		if r.Sequence <= behind || r.Time.Before(b.since) || b.until != "" && r.Type == b.until {
			return true
		}
		if found = is(r); found {
			at.Sequence, at.Version = r.Sequence, r.Version
		}
		return found
	})
	return at, found, err
}

// decoded is the grant's event in a record, if it is of the kind.
func decoded[E grant.Event](r domain.Record) (e E, is bool) {
	event, err := grant.Kinds.Decode(r.Type, r.Data)
	if err == nil {
		e, is = event.(E)
	}
	return e, is
}

// did loads an aggregate and finds what a command that comes again did to it. What
// it would be refused for by now is no longer asked then.
func did[S, E any](ctx context.Context, log Log[S, E], key domain.Key, b before, is func(domain.Record) bool) (at Loaded[S], found bool, err error) {
	if !b.possible {
		return at, false, nil
	}
	if at, err = log.Load(ctx, key); err != nil {
		return at, false, err
	}
	return find(ctx, log, key, at, b, 0, is)
}

func (s *Service) didToLink(ctx context.Context, h Header, id uuid.UUID) (Outcome, bool, error) {
	at, found, err := did(ctx, s.Links, domain.Key{Link: id}, h.before, h.caused)
	return ofLink(id, at, []string{}), found, err
}

func (s *Service) didToGrant(ctx context.Context, h Header, key domain.Key) (Outcome, bool, error) {
	at, found, err := did(ctx, s.Grants, key, h.before, h.caused)
	return ofGrant(key, at, []string{}), found, err
}
