package eventlog

import (
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/internal/bus"
)

// Logs is the log of a namespace, by the kinds of aggregates that it holds.
type Logs struct {
	JS        Publisher
	Stream    jetstream.Stream // EVENTS
	Guard     *Guard
	Namespace bus.Namespace
}

// Links is the part that holds links.
func (l Logs) Links() Log[link.State, link.Event] {
	return Log[link.State, link.Event]{
		JS: l.JS, Stream: l.Stream, Guard: l.Guard, Source: string(l.Namespace), Kinds: link.Kinds, Evolve: link.Evolve, StateVersion: link.StateVersion,
		Subject: func(k domain.Key) string { return l.Namespace.LinkEvents(k.Link) },
	}
}

// Grants is the part that holds grants.
func (l Logs) Grants() Log[grant.State, grant.Event] {
	return Log[grant.State, grant.Event]{
		JS: l.JS, Stream: l.Stream, Guard: l.Guard, Source: string(l.Namespace), Kinds: grant.Kinds, Evolve: grant.Evolve, StateVersion: grant.StateVersion,
		Subject: func(k domain.Key) string { return l.Namespace.GrantEvents(k.Link, k.Grant) },
	}
}

// Names is the part that holds reserved names.
func (l Logs) Names() Log[name.State, name.Event] {
	return Log[name.State, name.Event]{
		JS: l.JS, Stream: l.Stream, Guard: l.Guard, Source: string(l.Namespace), Kinds: name.Kinds, Evolve: name.Evolve, StateVersion: name.StateVersion,
		Subject: func(k domain.Key) string { return l.Namespace.NameEvents(k.Link) },
	}
}
