package history

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"outlink/domain"
	"outlink/internal/eventlog"
)

// CloudEvent is an event in CloudEvents 1.0 structured mode, as a line of an
// export. The members that are no attributes of the specification are
// extensions.
type CloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          uuid.UUID       `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"` // "<link>" or "<link>/<grant>"; of a name's event the name's id
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Actor       string          `json:"actor,omitempty"`
	Correlation string          `json:"correlationid,omitempty"`
	Causation   string          `json:"causationid,omitempty"`
	Traceparent string          `json:"traceparent,omitempty"`
	Version     uint64          `json:"aggregateversion"`
	Hash        string          `json:"hash"`
	Sequence    uint64          `json:"sequence"` // in the log that it was exported from
	Data        json.RawMessage `json:"data"`
}

// Export writes the events of some subjects, or all, as JSON Lines in the order
// of the log, and returns how many.
func Export(ctx context.Context, feed eventlog.Feed, subjects []string, w io.Writer) (int, error) {
	if len(subjects) == 0 {
		subjects = []string{feed.Namespace.AllEvents()}
	}
	last, err := feed.LastOf(ctx, subjects)
	if err != nil || last == 0 {
		return 0, err
	}
	done, count := errors.New("done"), 0
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	err = feed.FollowSubjects(ctx, subjects, 0, func(_ context.Context, batch []domain.Record) error {
		for _, r := range batch {
			if err := lines.Encode(cloudEvent(string(feed.Namespace), r)); err != nil {
				return err
			}
			if count++; r.Sequence >= last {
				return done
			}
		}
		return nil
	})
	if errors.Is(err, done) {
		err = nil
	}
	return count, err
}

func cloudEvent(namespace string, r domain.Record) CloudEvent {
	return CloudEvent{
		SpecVersion: "1.0", ID: r.ID, Source: "outlink/" + namespace, Type: r.Type, Subject: domain.Key{Link: r.Link, Grant: r.Grant}.String(),
		Time: r.Time, ContentType: "application/json", Actor: r.Actor, Correlation: r.Correlation, Causation: r.Causation,
		Traceparent: r.Traceparent, Version: r.Version, Hash: r.Hash, Sequence: r.Sequence, Data: r.Data,
	}
}

// Import appends an export to an empty log, with its ids, times and hashes. The
// states beside the events are not part of an export: each aggregate's is folded
// when it is first loaded.
func Import(ctx context.Context, feed eventlog.Feed, r io.Reader) (int, error) {
	state, err := feed.State(ctx)
	if err != nil {
		return 0, err
	}
	if state.Msgs > 0 {
		return 0, domain.Errorf(domain.FailedPrecondition, "the log of namespace %q has %d events; import into an empty one", feed.Namespace, state.Msgs)
	}
	v := verifier{ends: map[aggregate]end{}}
	lines, count := bufio.NewReader(r), 0
	var pending []jetstream.PubAckFuture
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && errors.Is(err, io.EOF) {
			return count, settled(ctx, pending)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return count, err
		}
		record, err := v.line(line)
		if err != nil {
			return count, errors.Join(domain.Errorf(domain.InvalidArgument, "line %d: %v; nothing after it was imported", count+1, err), settled(ctx, pending))
		}
		ack, err := feed.Restore(record)
		if err != nil {
			return count, err
		}
		count++
		if pending = append(pending, ack); len(pending) == 256 {
			if err := settled(ctx, pending); err != nil {
				return count, err
			}
			pending = pending[:0]
		}
	}
}

func settled(ctx context.Context, pending []jetstream.PubAckFuture) error {
	for _, p := range pending {
		select {
		case <-p.Ok():
		case err := <-p.Err():
			return fmt.Errorf("append an imported event: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// line reads a line of an export, and checks it before anything is appended.
func (v *verifier) line(b []byte) (domain.Record, error) {
	var e CloudEvent
	if err := json.Unmarshal(b, &e); err != nil {
		return domain.Record{}, err
	}
	r := domain.Record{
		ID: e.ID, Type: e.Type, Time: e.Time, Actor: e.Actor, Version: e.Version, Correlation: e.Correlation, Causation: e.Causation,
		Traceparent: e.Traceparent, Hash: e.Hash, Data: e.Data, Sequence: e.Sequence,
	}
	first, second, ofGrant := strings.Cut(e.Subject, "/")
	var err error
	if r.Link, err = uuid.Parse(first); err != nil {
		return r, fmt.Errorf("subject %q: %w", e.Subject, err)
	}
	if ofGrant {
		if r.Grant, err = uuid.Parse(second); err != nil {
			return r, fmt.Errorf("subject %q: %w", e.Subject, err)
		}
	}
	if v.schemas == nil {
		v.schemas = map[string]*jsonschema.Schema{}
	}
	v.Problems = nil
	if v.look(r); len(v.Problems) > 0 {
		return r, errors.New(v.Problems[0].Problem)
	}
	return r, nil
}
