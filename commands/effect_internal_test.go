package commands

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
)

// Who reports a token came after it: nothing before that is looked at, whatever the
// id, for each caller of a resource may report one.
func TestReportLooksBackToItsToken(t *testing.T) {
	s, b := &story{}, Door{}.before(uuid.New())
	b.until = "token"
	for n := range 20 {
		s.happen(uuid.New(), time.Now())
		if n == 16 {
			s.records[n].Type = "token"
		}
	}
	at, _ := s.Load(t.Context(), domain.Key{})
	if _, found, err := find(t.Context(), s, domain.Key{}, at, b, 0, func(domain.Record) bool { return false }); found || err != nil || s.read != 4 {
		t.Errorf("found %v, %v; %d events read, want 4", found, err, s.read)
	}
}

// story is a log of one link, in which others append whenever somebody wants to.
type story struct {
	records []domain.Record
	others  [][]uuid.UUID // who is first at each append, by their commands
	read    int           // events looked back at
}

func (s *story) Load(context.Context, domain.Key) (Loaded[link.State], error) {
	n := len(s.records)
	last := s.records[n-1]
	return Loaded[link.State]{Sequence: last.Sequence, Version: uint64(n), Causation: last.Causation, Time: last.Time}, nil
}

func (s *story) Append(ctx context.Context, key domain.Key, _ Loaded[link.State], _ link.Event, m Meta) (Loaded[link.State], error) {
	if len(s.others) > 0 {
		for _, command := range s.others[0] {
			s.happen(command, time.Now())
		}
		s.others = s.others[1:]
		return Loaded[link.State]{}, ErrOvertaken
	}
	s.happen(m.CommandID, m.Time)
	return s.Load(ctx, key)
}

func (s *story) Back(_ context.Context, _ domain.Key, from Loaded[link.State], visit func(domain.Record) bool) error {
	for _, r := range slices.Backward(s.records[:from.Version]) {
		s.read++
		if visit(r) {
			break
		}
	}
	return nil
}

func (s *story) happen(command uuid.UUID, at time.Time) {
	n := uint64(len(s.records) + 1)
	s.records = append(s.records, domain.Record{Sequence: 10 * n, Version: n, Causation: command.String(), Time: at})
}

func (s *story) decide(t *testing.T, command uuid.UUID, d Door) Loaded[link.State] {
	t.Helper()
	h := Header{CommandID: command, before: d.before(command)}
	at, _, err := decide(t.Context(), s, link.Kinds, domain.Key{}, h, time.Now(), func(Loaded[link.State]) (link.Event, error) { return link.Enabled{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func (s *story) effects(command uuid.UUID) (n int) {
	for _, r := range s.records {
		if r.Causation == command.String() {
			n++
		}
	}
	return n
}

// The same command is run twice at once, and the other run is first, whatever else
// happens before this one looks again.
func TestOvertakenByItself(t *testing.T) {
	command := uuid.Must(uuid.NewV7())
	s := &story{others: [][]uuid.UUID{{uuid.New()}, {command, uuid.New()}}}
	s.happen(uuid.New(), time.Now())
	if at := s.decide(t, command, Door{}); s.effects(command) != 1 || at.Version != 3 || at.Sequence != 30 {
		t.Errorf("%d effects; %+v", s.effects(command), at)
	}
}

// A new command with a timed id looks at what is younger than its id and the skew
// of clocks, and any other at everything.
func TestLooksBackToItsTime(t *testing.T) {
	for name, tt := range map[string]struct {
		id   uuid.UUID
		door Door
		read int
	}{
		"timed":                         {uuid.Must(uuid.NewV7()), Door{}, 3},
		"timed, said to be sent before": {uuid.Must(uuid.NewV7()), Door{Again: true}, 9},
		"random":                        {uuid.New(), Door{}, 9},
	} {
		s := &story{}
		for age := 8; age >= 0; age-- {
			s.happen(uuid.New(), time.Now().Add(-time.Duration(age)*25*time.Minute))
		}
		if s.decide(t, tt.id, tt.door); s.effects(tt.id) != 1 || s.read < tt.read || s.read > tt.read+1 {
			t.Errorf("%s: %d effects, %d events read, want about %d", name, s.effects(tt.id), s.read, tt.read)
		}
	}
}
