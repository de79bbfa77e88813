package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/notice"
	"outlink/internal/bus"
	"outlink/workers/notify"
)

// windows keeps what was told of late in a bucket; a key is a link and a kind.
type windows struct{ kv jetstream.KeyValue }

func windowKey(t notify.Topic) string { return t.Link.String() + "." + string(t.Kind) }

func (s windows) Load(ctx context.Context, t notify.Topic) (w notify.Window, revision uint64, err error) {
	entry, err := s.kv.Get(ctx, windowKey(t))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return w, 0, nil
	}
	if err != nil {
		return w, 0, fmt.Errorf("load a window of notices: %w", err)
	}
	if err := json.Unmarshal(entry.Value(), &w); err != nil {
		return w, 0, fmt.Errorf("decode a window of notices: %w", err)
	}
	return w, entry.Revision(), nil
}

func (s windows) Store(ctx context.Context, w notify.Window, revision uint64) error {
	body, err := json.Marshal(w)
	if err != nil {
		return err
	}
	if revision == 0 {
		_, err = s.kv.Create(ctx, windowKey(w.Topic), body)
	} else {
		_, err = s.kv.Update(ctx, windowKey(w.Topic), body, revision)
	}
	return overtaken(ctx, err)
}

func (s windows) Drop(ctx context.Context, t notify.Topic, revision uint64) error {
	return overtaken(ctx, s.kv.Purge(ctx, windowKey(t), jetstream.LastRevision(revision)))
}

func overtaken(ctx context.Context, err error) error {
	if bus.Settle(ctx, err) || errors.Is(err, jetstream.ErrKeyExists) || bus.IsStale(err) {
		return commands.ErrOvertaken
	}
	return err
}

func (s windows) All(ctx context.Context) ([]notify.Topic, error) {
	keys, err := s.kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the windows of notices: %w", err)
	}
	var all []notify.Topic
	for key := range keys.Keys() {
		link, kind, _ := strings.Cut(key, ".")
		if id, err := uuid.Parse(link); err == nil {
			all = append(all, notify.Topic{Link: id, Kind: notice.Kind(kind)})
		}
	}
	return all, nil
}

// mostCounted bounds what is read to count one window.
const mostCounted = 1_000_000

// since is the log of a link and its grants after a sequence.
func (n *Node) since(ctx context.Context, link uuid.UUID, after uint64) ([]domain.Record, error) {
	return n.Feed.Range(ctx, []string{n.Namespace.LinkEvents(link), n.Namespace.GrantsOf(link)}, after, mostCounted)
}
