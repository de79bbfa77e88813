package vault

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
)

// EventKeys keeps the keys that authenticate the events of a namespace: all of
// them in one entry of the bucket of keys, wrapped together, so that nobody moves
// the bounds of one without the key encryption key.
type EventKeys struct {
	kek       Wrapper
	keys      jetstream.KeyValue
	namespace string

	mu       sync.Mutex
	revision uint64
	last     []eventKey
}

// eventKey is a key as it is kept.
type eventKey struct {
	ID     string    `json:"id"`
	Made   time.Time `json:"made"`
	Since  uint64    `json:"since"`
	Until  uint64    `json:"until,omitempty"`
	Secret []byte    `json:"secret"`
}

// NewEventKeys reads nothing yet.
func NewEventKeys(kek Wrapper, keys jetstream.KeyValue, namespace string) *EventKeys {
	return &EventKeys{kek: kek, keys: keys, namespace: namespace}
}

const eventKeysEntry = "namespace.mac"

// Settled is how long after a new key was made every node writes with it.
const Settled = 5 * time.Minute

// Create makes the first key, unless there is one. What the log has up to head
// was written without, and needs none.
func (k *EventKeys) Create(ctx context.Context, head uint64) error {
	_, err := k.keys.Get(ctx, eventKeysEntry)
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return kept("look up the keys of events", err)
	}
	value, err := k.wrap([]eventKey{newEventKey(head)})
	if err != nil {
		return err
	}
	if err := bus.Create(ctx, k.keys, eventKeysEntry, value); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return unavailable("keep the key of events", err)
	}
	return nil
}

// Keys are the keys as they are now, oldest first. The key encryption key is
// asked for what has changed only.
func (k *EventKeys) Keys(ctx context.Context) ([]eventlog.Key, error) {
	all, _, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]eventlog.Key, 0, len(all))
	for _, e := range all {
		keys = append(keys, eventlog.Key{ID: e.ID, Since: e.Since, Until: e.Until, Secret: domain.NewSecret(string(e.Secret))})
	}
	return keys, nil
}

// Rotate makes a new key, with which nodes write from the next minute on. Events
// keep the MACs of the old ones.
func (k *EventKeys) Rotate(ctx context.Context, head uint64) (id string, err error) {
	all, revision, err := k.read(ctx)
	if err != nil {
		return "", err
	}
	made := newEventKey(head)
	return made.ID, k.replace(ctx, append(all, made), revision)
}

// Retire has all keys but the newest count for nothing that comes after head. It
// refuses as long as a node may write with an older one.
func (k *EventKeys) Retire(ctx context.Context, head uint64, now time.Time) (retired []string, err error) {
	all, revision, err := k.read(ctx)
	if err != nil {
		return nil, err
	}
	newest := all[len(all)-1]
	if wait := newest.Made.Add(Settled); now.Before(wait) {
		return nil, domain.Errorf(domain.FailedPrecondition, "key %s was made at %s, and nodes may still write with the one before; retire that after %s",
			newest.ID, newest.Made.Format(time.RFC3339), wait.Format(time.RFC3339))
	}
	for i := range all[:len(all)-1] {
		if all[i].Until == 0 {
			all[i].Until = max(head, 1) // 0 is no end
			retired = append(retired, all[i].ID)
		}
	}
	if len(retired) == 0 {
		return nil, nil
	}
	return retired, k.replace(ctx, all, revision)
}

func newEventKey(head uint64) eventKey {
	return eventKey{ID: rand.Text()[:8], Made: time.Now().UTC(), Since: head, Secret: []byte(rand.Text() + rand.Text())}
}

// read returns a copy of the entry's keys, and its revision.
func (k *EventKeys) read(ctx context.Context) ([]eventKey, uint64, error) {
	entry, err := k.keys.Get(ctx, eventKeysEntry)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, domain.Errorf(domain.FailedPrecondition, "namespace %q has no key for its events; run: outlink migrate", k.namespace)
	}
	if err != nil {
		return nil, 0, unavailable("look up the keys of events", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last == nil || k.revision != entry.Revision() {
		if k.last, err = k.unwrap(entry.Value()); err != nil {
			return nil, 0, err
		}
		k.revision = entry.Revision()
	}
	return append([]eventKey{}, k.last...), k.revision, nil
}

func (k *EventKeys) replace(ctx context.Context, all []eventKey, revision uint64) error {
	value, err := k.wrap(all)
	if err != nil {
		return err
	}
	_, err = k.keys.Update(ctx, eventKeysEntry, value, revision)
	if bus.IsStale(err) {
		return domain.Errorf(domain.Conflict, "somebody else changed the keys of events at the same time; look at them, and try again")
	}
	return kept("keep the keys of events", err)
}

func (k *EventKeys) wrap(all []eventKey) ([]byte, error) {
	plain, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	value, err := k.kek.Encrypt(plain, associatedData(k.namespace, "event keys", domain.Key{}, "", 0))
	if err != nil {
		return nil, fmt.Errorf("wrap the keys of events: %w", err)
	}
	return value, nil
}

func (k *EventKeys) unwrap(value []byte) (all []eventKey, err error) {
	plain, err := k.kek.Decrypt(value, associatedData(k.namespace, "event keys", domain.Key{}, "", 0))
	if err != nil { // as in unwrap of the vault
		return nil, domain.Errorf(domain.Unavailable, "unwrap the keys of events: the key encryption key does not open them, or its service is away")
	}
	if err := json.Unmarshal(plain, &all); err != nil || len(all) == 0 {
		return nil, errors.New("the entry of the keys of events holds none")
	}
	return all, nil
}

// kept is unavailable, for an error that may be none.
func kept(what string, err error) error {
	if err == nil {
		return nil
	}
	return unavailable(what, err)
}
