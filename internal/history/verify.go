package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/internal/eventlog"
)

// Problem is something wrong with an event.
type Problem struct {
	Sequence uint64 `json:"sequence,omitempty"` // 0: the log itself
	Type     string `json:"type,omitempty"`
	Problem  string `json:"problem"`
}

// Report is the outcome of a verification.
type Report struct {
	Events     int       `json:"events"`
	Aggregates int       `json:"aggregates"`
	Head       uint64    `json:"head"` // the last sequence that was looked at
	Problems   []Problem `json:"problems,omitempty"`
}

// problemsAtMost bounds a report.
const problemsAtMost = 1000

// end is where an aggregate's chain has come to.
type end struct {
	version uint64
	hash    string
}

// verifier looks at events one by one, in the order of the log.
type verifier struct {
	Report
	ends    map[aggregate]end
	schemas map[string]*jsonschema.Schema
	folds   map[string]func(domain.Record) error // by kind of aggregate
}

func newVerifier() verifier {
	links := states[link.State, link.Event]{link.Kinds, link.Evolve, link.StateVersion, map[domain.Key]link.State{}}
	grants := states[grant.State, grant.Event]{grant.Kinds, grant.Evolve, grant.StateVersion, map[domain.Key]grant.State{}}
	names := states[name.State, name.Event]{name.Kinds, name.Evolve, name.StateVersion, map[domain.Key]name.State{}}
	return verifier{ends: map[aggregate]end{}, schemas: map[string]*jsonschema.Schema{}, folds: map[string]func(domain.Record) error{
		"link": links.check, "grant": grants.check, "name": names.check,
	}}
}

// aggregate names one: a name's reservation has a link's place, so the kind
// tells them apart.
type aggregate struct {
	kind        string
	link, grant uuid.UUID
}

// Verify reads the whole log, and checks that no event is missing, that each can
// be decoded and fits its schema, that the state beside it is what its history
// makes, and that the chain of hashes of each aggregate is whole: a change, a gap
// or an insertion shows. With a guard in the feed it checks the MACs too. It
// holds the states of all aggregates.
func Verify(ctx context.Context, feed eventlog.Feed, progress func(sequence uint64)) (Report, error) {
	v := newVerifier()
	state, err := feed.State(ctx)
	if err != nil {
		return v.Report, err
	}
	if state.NumDeleted > 0 || state.Msgs > 0 && state.FirstSeq > 1 {
		v.add(Problem{Problem: fmt.Sprintf("the log begins at %d and lacks %d messages", state.FirstSeq, state.NumDeleted)})
	}
	if state.Msgs == 0 {
		return v.Report, nil
	}
	for err = errUnread; errors.Is(err, errUnread); {
		err = v.read(ctx, feed, state.LastSeq, progress)
	}
	v.Aggregates = len(v.ends)
	return v.Report, err
}

// errUnread says that a message was noted as unreadable and that there is more.
var errUnread = errors.New("unread")

// read looks at what comes after the head, up to the last event or to a message
// that can't be read.
func (v *verifier) read(ctx context.Context, feed eventlog.Feed, last uint64, progress func(sequence uint64)) error {
	done := errors.New("done")
	err := feed.FollowSubjects(ctx, []string{feed.Namespace.AllEvents()}, v.Head, func(_ context.Context, batch []domain.Record) error {
		for _, r := range batch {
			if r.Foreign != "" {
				v.foreign(r)
			} else {
				v.look(r)
			}
			if r.Sequence >= last {
				return done
			}
		}
		if progress != nil {
			progress(v.Head)
		}
		return nil
	})
	bad, unread := errors.AsType[*domain.UnreadableError](err)
	if unread {
		v.add(Problem{bad.Sequence, bad.Type, bad.Error()})
		v.Head = bad.Sequence
	}
	switch {
	case unread && bad.Sequence < last:
		return errUnread
	case unread, errors.Is(err, done):
		return nil
	}
	return err
}

func (v *verifier) add(p Problem) {
	if len(v.Problems) < problemsAtMost {
		v.Problems = append(v.Problems, p)
	}
}

// foreign notes a message that readers ignore. It is no link of a chain.
func (v *verifier) foreign(r domain.Record) {
	v.Head = r.Sequence
	v.add(Problem{Sequence: r.Sequence, Problem: "it is no event of this installation, and ignored: " + r.Foreign})
}

func (v *verifier) look(r domain.Record) {
	v.Events++
	v.Head = r.Sequence
	kind, _, _ := strings.Cut(strings.TrimPrefix(r.Type, "outlink."), ".")
	id := aggregate{kind, r.Link, r.Grant}
	before := v.ends[id]
	v.ends[id] = end{r.Version, r.Hash}
	problem := func(format string, args ...any) {
		v.add(Problem{r.Sequence, r.Type, fmt.Sprintf(format, args...)})
	}
	if r.Version != before.version+1 {
		problem("version %d follows version %d of the aggregate", r.Version, before.version)
	}
	if want := eventlog.Chain(before.hash, r); r.Hash != want {
		problem("its hash is not that of its content and of the events before it: something was changed, dropped or slipped in")
	}
	if err := v.fold(kind, r); err != nil {
		problem("%v", err)
	} else if err := v.valid(r); err != nil {
		problem("it does not fit its schema: %v", err)
	}
}

func (v *verifier) fold(kind string, r domain.Record) error {
	if check := v.folds[kind]; check != nil {
		return check(r)
	}
	return fmt.Errorf("there are no events of the kind %q", kind)
}

func (v *verifier) valid(r domain.Record) error {
	schema, err := v.schema(r.Type)
	if err != nil {
		return err
	}
	var data any
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return err
	}
	return schema.Validate(data)
}

func (v *verifier) schema(typ string) (*jsonschema.Schema, error) {
	if s := v.schemas[typ]; s != nil {
		return s, nil
	}
	f, err := domain.Schemas.Open("schemas/" + typ + ".json")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	document, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(typ, document); err != nil {
		return nil, err
	}
	v.schemas[typ], err = c.Compile(typ)
	return v.schemas[typ], err
}
