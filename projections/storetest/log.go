// Package storetest holds every store of the projections to one specification:
// given these events, a reader finds these rows.
//
// Run it from a store's own tests with [Run]. Nothing but tests imports it.
package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Noon is when the first event of a [Log] happens; each next one is a second later.
var Noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Log is an event log in memory. It is a projections.Feed that ends with its
// last event.
type Log struct {
	Records []domain.Record
	Batch   int    // events a batch; 0 means 500
	Scope   string // begins the name of every link added from now on

	versions map[uuid.UUID]uint64
}

// LinkID is the id of the link that the tests call by that name.
func LinkID(name string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)) }

// GrantID is the id of "link/subject".
func GrantID(path string) uuid.UUID {
	name, subject, _ := strings.Cut(path, "/")
	return grant.ID(LinkID(name), subject)
}

// Link appends an event of the named link.
func (l *Log) Link(name string, e link.Event) *Log {
	return l.add(LinkID(l.Scope+name), uuid.Nil, link.Kinds.Type(e), e)
}

// Grant appends an event of the grant "link/subject".
func (l *Log) Grant(path string, e grant.Event) *Log {
	name, _, _ := strings.Cut(path, "/")
	return l.add(LinkID(l.Scope+name), GrantID(l.Scope+path), grant.Kinds.Type(e), e)
}

// Raw appends an event as a newer node, or a broken one, might have written it.
func (l *Log) Raw(name, typ, data string) *Log {
	return l.add(LinkID(l.Scope+name), uuid.Nil, typ, json.RawMessage(data))
}

func (l *Log) add(linkID, grantID uuid.UUID, typ string, e any) *Log {
	if l.versions == nil {
		l.versions = map[uuid.UUID]uint64{}
	}
	aggregate := linkID
	if grantID != uuid.Nil {
		aggregate = grantID
	}
	l.versions[aggregate]++
	data, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("encode %s: %v", typ, err)) // a mistake in a test
	}
	n := len(l.Records)
	l.Records = append(l.Records, domain.Record{
		Sequence: l.Last() + 1 + uint64(n%3), // other subjects leave gaps
		ID:       uuid.NewSHA1(aggregate, fmt.Append(nil, n)), Type: typ, Time: Noon.Add(time.Duration(n) * time.Second),
		Actor: "test", Link: linkID, Grant: grantID, Version: l.versions[aggregate], Data: data,
	})
	return l
}

// Last is the sequence of the last event.
func (l *Log) Last() uint64 {
	if len(l.Records) == 0 {
		return 0
	}
	return l.Records[len(l.Records)-1].Sequence
}

// Follow implements projections.Feed. Batches after the first overlap the one
// before by an event, as they may.
func (l *Log) Follow(ctx context.Context, after uint64, handle func(context.Context, []domain.Record) error) error {
	size := l.Batch
	if size == 0 {
		size = 500
	}
	for i := 0; i < len(l.Records); i += size {
		batch := slices.Clone(l.Records[max(0, i-1):min(i+size, len(l.Records))])
		if batch[len(batch)-1].Sequence <= after {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := handle(ctx, batch); err != nil {
			return err
		}
	}
	return ctx.Err()
}
