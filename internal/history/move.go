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
// of the log, and returns how many. What the feed's guard finds foreign is left
// out; MACs are for places in one log, and not exported.
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
			if r.Foreign == "" {
				if err := lines.Encode(NewCloudEvent(string(feed.Namespace), r)); err != nil {
					return err
				}
				count++
			}
			if r.Sequence >= last {
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

// NewCloudEvent is an event of a namespace's log as a CloudEvent.
func NewCloudEvent(namespace string, r domain.Record) CloudEvent {
	return CloudEvent{
		SpecVersion: "1.0", ID: r.ID, Source: "outlink/" + namespace, Type: r.Type, Subject: domain.Key{Link: r.Link, Grant: r.Grant}.String(),
		Time: r.Time, ContentType: "application/json", Actor: r.Actor, Correlation: r.Correlation, Causation: r.Causation,
		Traceparent: r.Traceparent, Version: r.Version, Hash: r.Hash, Sequence: r.Sequence, Data: r.Data,
	}
}

// Import appends an export to an empty log, with its ids, times and hashes, or
// goes on with an import that was interrupted: to a log that is the beginning of
// the file. The whole file is checked first, so that nothing is written of a bad
// one; then its events get MACs of this namespace. Whoever imports a file vouches
// for it: the hashes in it are made without a key. The states beside the events are not part of an export: each aggregate's
// is folded when it is first loaded.
func Import(ctx context.Context, feed eventlog.Feed, open func() (io.ReadCloser, error)) (int, error) {
	v, names, links := newVerifier(), 0, 0
	err := each(open, func(r domain.Record) error {
		v.Problems = nil
		if v.look(r); len(v.Problems) > 0 {
			return errors.New(v.Problems[0].Problem)
		}
		if strings.HasPrefix(r.Type, "outlink.name.") {
			names++
		} else {
			links++
		}
		return nil
	})
	switch {
	case err != nil:
		return 0, domain.Errorf(domain.InvalidArgument, "%v; nothing of the file was imported", err)
	case links > 0 && names == 0:
		return 0, domain.Errorf(domain.InvalidArgument, "the file has no events of names: it is the export of one link (--link), and an import takes whole logs")
	}
	have, err := hashes(ctx, feed)
	if err != nil {
		return 0, err
	}
	return restore(ctx, feed, open, have)
}

// hashes are those of the log's events, in its order.
func hashes(ctx context.Context, feed eventlog.Feed) (all []string, err error) {
	subjects := []string{feed.Namespace.AllEvents()}
	last, err := feed.LastOf(ctx, subjects)
	if err != nil {
		return nil, err
	}
	err = feed.Each(ctx, subjects, 0, last, func(r domain.Record) error {
		all = append(all, r.Hash)
		return nil
	})
	return all, err
}

// restore appends what comes in the file after the events that the log has.
func restore(ctx context.Context, feed eventlog.Feed, open func() (io.ReadCloser, error), have []string) (int, error) {
	other := domain.Errorf(domain.FailedPrecondition, "the log of namespace %q has %d events, and they are not the beginning of the file; import into an empty one", feed.Namespace, len(have))
	at := 0
	if err := each(open, func(r domain.Record) error {
		if at < len(have) && have[at] != r.Hash {
			return other
		}
		at++
		return nil
	}); err != nil {
		return 0, err
	}
	if at < len(have) {
		return 0, other
	}
	to, err := feed.Restorer(ctx)
	if err != nil {
		return 0, err
	}
	at = 0
	var pending []jetstream.PubAckFuture
	err = each(open, func(r domain.Record) error {
		if at++; at <= len(have) {
			return nil
		}
		ack, err := to.Append(ctx, r)
		if err != nil {
			return err
		}
		if pending = append(pending, ack); len(pending) == 256 {
			err = settled(ctx, pending)
			pending = pending[:0]
		}
		return err
	})
	return max(at-len(have), 0), errors.Join(err, settled(ctx, pending))
}

// each reads the lines of an export.
func each(open func() (io.ReadCloser, error), handle func(domain.Record) error) error {
	file, err := open()
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		r, err := parse(line)
		if err == nil {
			err = handle(r)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
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

// parse reads a line of an export.
func parse(b []byte) (domain.Record, error) {
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
	return r, nil
}
