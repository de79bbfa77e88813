// Package history answers questions about the past from the log itself: states
// at a time, what changed, and whether the log is whole. It needs no read model.
package history

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/eventlog"
	"outlink/projections"
)

// Moment bounds a history: by a time, an aggregate's version, or a sequence of
// the log. Zero fields do not.
type Moment struct {
	Time     time.Time
	Version  uint64
	Sequence uint64
}

func (m Moment) after(r domain.Record) bool {
	return !m.Time.IsZero() && r.Time.After(m.Time) || m.Version > 0 && r.Version > m.Version || m.Sequence > 0 && r.Sequence > m.Sequence
}

// Step is an event of a link or grant, and the state after it.
type Step struct {
	domain.Record
	State any `json:"state"` // link.State or grant.State
}

// LinkSteps is the history of a link, without its grants.
func LinkSteps(ctx context.Context, feed eventlog.Feed, id uuid.UUID, until Moment) ([]Step, error) {
	return steps(ctx, feed, feed.Namespace.LinkEvents(id), until, link.Kinds, link.Evolve)
}

// GrantSteps is the history of a grant.
func GrantSteps(ctx context.Context, feed eventlog.Feed, key domain.Key, until Moment) ([]Step, error) {
	return steps(ctx, feed, feed.Namespace.GrantEvents(key.Link, key.Grant), until, grant.Kinds, grant.Evolve)
}

func steps[S, E any](ctx context.Context, feed eventlog.Feed, subject string, until Moment, kinds domain.Kinds[E], evolve func(S, E) S) ([]Step, error) {
	records, err := feed.Range(ctx, []string{subject}, 0, everything)
	if err != nil {
		return nil, err
	}
	var s S
	var all []Step
	for _, r := range records {
		if until.after(r) {
			break
		}
		e, err := kinds.Decode(r.Type, r.Data)
		if err != nil {
			return all, fmt.Errorf("event %d: %w", r.Sequence, err)
		}
		s = evolve(s, e)
		all = append(all, Step{r, s})
	}
	return all, nil
}

// everything is more than a history has.
const everything = 1 << 40

// LinkAt is a link with its grants as they were.
func LinkAt(ctx context.Context, feed eventlog.Feed, id uuid.UUID, at Moment) (projections.LinkRow, error) {
	ofLink, err := LinkSteps(ctx, feed, id, at)
	if err != nil {
		return projections.LinkRow{}, err
	}
	if len(ofLink) == 0 {
		return projections.LinkRow{}, domain.Errorf(domain.NotFound, "link %s did not exist then", id)
	}
	if newest := ofLink[len(ofLink)-1].Version; at.Version > newest {
		return projections.LinkRow{}, domain.Errorf(domain.NotFound, "link %s has no version %d; its newest is %d", id, at.Version, newest)
	}
	if at.Version > 0 { // a version of the link is also a moment for its grants
		at = Moment{Sequence: ofLink[len(ofLink)-1].Sequence}
	}
	rows, err := rowsAt(ctx, feed, []string{feed.Namespace.LinkEvents(id), feed.Namespace.GrantsOf(id)}, at)
	return rows[id], err
}

// LinksAt is the links list as it was, by name. It folds the log up to then, and
// holds the links and grants but not their events; for many of them, build that
// state once: outlink projection rebuild --until.
func LinksAt(ctx context.Context, feed eventlog.Feed, at Moment) ([]projections.LinkRow, error) {
	last, err := feed.Last(ctx)
	if err != nil {
		return nil, err
	}
	links := projections.NewReplayedLinks()
	err = feed.Each(ctx, nil, 0, last, func(r domain.Record) error {
		if at.after(r) {
			return eventlog.ErrStop
		}
		return links.Apply(r)
	})
	if err != nil {
		return nil, err
	}
	all := slices.SortedFunc(maps.Values(links.Rows()), func(a, b projections.LinkRow) int {
		return cmp.Or(strings.Compare(a.State.Name, b.State.Name), bytes.Compare(a.Link[:], b.Link[:]))
	})
	return slices.DeleteFunc(all, func(r projections.LinkRow) bool { return r.State.Status() == link.StatusAbsent }), nil
}

// rowsAt reads the subjects one by one, each no further than the moment.
func rowsAt(ctx context.Context, feed eventlog.Feed, subjects []string, at Moment) (map[uuid.UUID]projections.LinkRow, error) {
	var records []domain.Record
	for _, subject := range subjects {
		last, err := feed.LastOf(ctx, []string{subject})
		if err != nil {
			return nil, err
		}
		err = feed.Each(ctx, []string{subject}, 0, last, func(r domain.Record) error {
			if at.after(r) {
				return eventlog.ErrStop
			}
			records = append(records, r)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(records, func(a, b domain.Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	links, _, err := projections.Replay(records)
	return links, err
}

// Change is a member of a state that differs.
type Change struct {
	Member string          `json:"member"` // path, such as "scopes" or "authorization_params.prompt"
	From   json.RawMessage `json:"from,omitempty"`
	To     json.RawMessage `json:"to,omitempty"`
}

// Diff lists what differs between two states, by member.
func Diff(from, to any) ([]Change, error) {
	a, err := members(from)
	if err != nil {
		return nil, err
	}
	b, err := members(to)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if string(a[name]) != string(b[name]) {
			changes = append(changes, Change{name, a[name], b[name]})
		}
	}
	return changes, nil
}

// members flattens an encoded value: objects by their paths, all else as it is.
func members(v any) (map[string]json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	flat := map[string]json.RawMessage{}
	return flat, flatten(flat, "", b)
}

func flatten(into map[string]json.RawMessage, path string, b json.RawMessage) error {
	if len(b) == 0 || b[0] != '{' {
		into[path] = b
		return nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil {
		return err
	}
	for name, value := range object {
		if path != "" {
			name = path + "." + name
		}
		if err := flatten(into, name, value); err != nil {
			return err
		}
	}
	return nil
}
