package domain

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Record is an event at its place in the log: what operators read, and what
// projections and workers consume. The log's Sequence is the only order.
type Record struct {
	Sequence    uint64          `json:"sequence"`
	ID          uuid.UUID       `json:"id"`
	Type        string          `json:"type"` // as in the CloudEvents attribute: outlink.grant.token_issued.v1
	Time        time.Time       `json:"time"`
	Actor       string          `json:"actor"`
	Link        uuid.UUID       `json:"link_id"`
	Grant       uuid.UUID       `json:"grant_id"` // zero for an event of a link
	Version     uint64          `json:"version"`  // of the aggregate: its first event makes it 1
	Correlation string          `json:"correlation_id,omitempty"`
	Causation   string          `json:"causation_id,omitempty"` // the command that caused it
	Traceparent string          `json:"traceparent,omitempty"`  // W3C trace context
	Hash        string          `json:"hash,omitempty"`         // of this event and those of the aggregate before it
	Data        json.RawMessage `json:"data"`
	State       json.RawMessage `json:"-"` // the aggregate folded to here, in the form of StateVersion; nil: not known

	StateVersion int `json:"-"`

	// Decoded is the event itself, where one reader has decoded it for all.
	Decoded any `json:"-"`

	// Foreign says why the message at this place is none of the installation's
	// own. Then nothing but Sequence is set, and whoever reads goes on behind it.
	Foreign string `json:"-"`
}

// OfGrant reports whether the record belongs to a grant rather than to a link.
func (r Record) OfGrant() bool { return r.Grant != uuid.Nil }

// Kinds is the closed set of one aggregate's events. It gives every event its
// name in the log, and decodes it from there.
type Kinds[E any] struct {
	aggregate string
	kind      func(E) string
	decoders  map[string]decoder[E] // by full type name
}

// Unmarshal is [json.Unmarshal], or what does the same.
type Unmarshal func(b []byte, v any) error

type decoder[E any] = func(Unmarshal, []byte) (E, error)

// NewKinds declares the events of an aggregate, each by [As]. Kind names are
// written once, on the event type, from where the function kind takes them.
func NewKinds[E any](aggregate string, kind func(E) string, events ...decoder[E]) Kinds[E] {
	k := Kinds[E]{aggregate: aggregate, kind: kind, decoders: map[string]decoder[E]{}}
	for _, decode := range events {
		zero, err := decode(json.Unmarshal, []byte("{}"))
		if err != nil {
			panic(fmt.Sprintf("declare an event of %s: %v", aggregate, err)) // a mistake in the declaration, seen at start
		}
		k.decoders[k.Type(zero)] = decode
	}
	return k
}

// As declares one event type for [NewKinds]. Unknown members are ignored, so
// that an older reader understands a newer event.
func As[T, E any](unmarshal Unmarshal, b []byte) (E, error) {
	var v T
	if err := unmarshal(b, &v); err != nil {
		var none E
		return none, err
	}
	e, _ := any(v).(E)
	return e, nil
}

// Type is the event's name in the log, "outlink.<aggregate>.<kind>.v<version>".
func (k Kinds[E]) Type(e E) string {
	return "outlink." + k.aggregate + "." + k.kind(e) + ".v1"
}

// Types lists the full names of all events that can be decoded.
func (k Kinds[E]) Types() []string {
	return slices.Sorted(maps.Keys(k.decoders))
}

// Decode reads an event of the log. An unknown type is an error: a projection
// that skipped it would be silently wrong.
func (k Kinds[E]) Decode(typ string, data []byte) (E, error) {
	return k.DecodeBy(json.Unmarshal, typ, data)
}

// DecodeBy is Decode for who decodes very many.
func (k Kinds[E]) DecodeBy(unmarshal Unmarshal, typ string, data []byte) (E, error) {
	decode, ok := k.decoders[typ]
	if !ok {
		var none E
		return none, Undecodable(fmt.Errorf("unknown event type %q of aggregate %s: this node is older than the one that wrote it", typ, k.aggregate))
	}
	e, err := decode(unmarshal, data)
	if err != nil {
		return e, Undecodable(fmt.Errorf("decode %s: %w", typ, err))
	}
	return e, nil
}

// ShortType is the type without its prefix and version: "grant.token_issued".
func ShortType(typ string) string {
	typ = strings.TrimPrefix(typ, "outlink.")
	if i := strings.LastIndex(typ, ".v"); i > 0 {
		typ = typ[:i]
	}
	return typ
}
