package history

import (
	"bytes"
	"encoding/json"
	"fmt"

	"outlink/domain"
)

// states folds the aggregates of one kind, to compare with the states beside
// their events, which commands decide on.
type states[S, E any] struct {
	kinds   domain.Kinds[E]
	evolve  func(S, E) S
	version int
	now     map[domain.Key]S
}

// check folds the next event of an aggregate. An event that can't be decoded, or
// whose state beside it is not what its history makes, is an error; a state of
// another version is not looked at, as nobody uses it.
func (s states[S, E]) check(r domain.Record) error {
	e, err := s.kinds.Decode(r.Type, r.Data)
	if err != nil {
		return err
	}
	key := domain.Key{Link: r.Link, Grant: r.Grant}
	now := s.evolve(s.now[key], e)
	s.now[key] = now
	if r.State == nil || r.StateVersion != s.version {
		return nil
	}
	var beside S
	if err := json.Unmarshal(r.State, &beside); err != nil {
		return fmt.Errorf("the state beside it can't be decoded: %w", err)
	}
	differs, err := unequal(beside, now)
	if err == nil && len(differs) > 0 {
		err = fmt.Errorf("the state beside it is not what its history makes: %s is %s, and should be %s", differs[0].Member, differs[0].From, differs[0].To)
	}
	return err
}

func unequal(a, b any) ([]Change, error) {
	first, errFirst := json.Marshal(a)
	second, errSecond := json.Marshal(b)
	if errFirst == nil && errSecond == nil && bytes.Equal(first, second) {
		return nil, nil
	}
	return Diff(a, b)
}
