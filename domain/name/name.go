// Package name keeps names unique without a read model: a name is an aggregate
// of its own, which says the link that holds it.
//
// A reservation is never released. Whoever wants a name asks whether its holder
// still uses it, and takes it over if not.
package name

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// space is the namespace of the ids of names (RFC 9562 section 6.6).
var space = uuid.MustParse("6f1f1c1e-8a53-4c0e-9d57-0a4f6a0f3b11")

// ID is the id under which a name is reserved; letters count in any case.
func ID(name string) uuid.UUID {
	return uuid.NewSHA1(space, []byte(strings.ToLower(name)))
}

// Check refuses a name that people take for another one. It is for new names: a link
// that goes by such a name keeps it.
func Check(name string) error {
	if strings.TrimSpace(name) != name || !domain.OneLine(name) {
		return domain.Errorf(domain.InvalidArgument, "the name %q begins or ends with a space, or has characters that nobody sees; leave them out", name)
	}
	return nil
}

// State says who holds the name; the zero State is a name that is free.
type State struct {
	Link uuid.UUID `json:"link_id"`
	At   time.Time `json:"at"`
}

// StateVersion is the version of [State] as it travels beside each event.
const StateVersion = 1

// Event is something that happened to a name.
type Event interface{ kind() string }

// Kinds is the set of a name's events.
var Kinds = domain.NewKinds("name", Event.kind, domain.As[Reserved, Event])

// Reserved gives the name to a link.
type Reserved struct {
	Name string    `json:"name"`
	Link uuid.UUID `json:"link_id"`
	At   time.Time `json:"at"`
}

func (Reserved) kind() string { return "reserved" }

// Evolve returns the State after e.
func Evolve(s State, e Event) State {
	if r, ok := e.(Reserved); ok {
		return State{Link: r.Link, At: r.At}
	}
	return s
}

// Reserve decides whether a link gets the name. inUse tells whether the present
// holder still goes by it.
func (s State) Reserve(e Reserved, inUse bool) (Event, error) {
	switch {
	case s.Link == e.Link:
		return nil, nil
	case s.Link != uuid.Nil && inUse:
		return nil, domain.Errorf(domain.AlreadyExists, "the name %q is taken by link %s; choose another", e.Name, s.Link).
			With("link_id", s.Link.String())
	}
	return e, nil
}
