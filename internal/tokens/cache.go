package tokens

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"outlink/domain"
	"outlink/domain/grant"
)

// DefaultCacheSize is how many grants a node keeps tokens of.
const DefaultCacheSize = 100_000

// maxAge bounds how long an entry is believed without asking the log, should a
// change be heard of late.
const maxAge = 15 * time.Second

// floors is how many of the latest changes are remembered, so that what was read
// before a change is not kept after it.
const floors = 8192

// Cache keeps what the fast path needs: access tokens, never refresh tokens, and
// which links are usable. Events empty it; while they cannot be heard it is off.
type Cache struct {
	links  *memo[uuid.UUID, struct{}]
	grants *memo[domain.Key, kept]
	on     atomic.Bool
	heard  atomic.Uint64 // sequence of the last change
}

// kept is a grant's token as it is served.
type kept struct {
	token  Token
	issued *grant.TokenIssued
}

// NewCache makes a cache for so many grants; 0 means [DefaultCacheSize].
func NewCache(size int) *Cache {
	if size == 0 {
		size = DefaultCacheSize
	}
	return &Cache{links: newMemo[uuid.UUID, struct{}](size), grants: newMemo[domain.Key, kept](size)}
}

// Changes names every aggregate that changes, as eventlog.Feed.Changes does.
type Changes func(ctx context.Context, ready func(head uint64), changed func(key domain.Key, sequence uint64)) error

// Run hears of changes until the context ends.
func (c *Cache) Run(ctx context.Context, changes Changes, log *slog.Logger) error {
	for {
		err := changes(ctx, c.ready, c.changed)
		c.on.Store(false)
		c.grants.clear()
		c.links.clear()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end
		}
		log.Warn("tokens are served without the cache", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (c *Cache) ready(head uint64) {
	c.heard.Store(head)
	c.on.Store(true)
}

func (c *Cache) changed(key domain.Key, sequence uint64) {
	if key.Grant == uuid.Nil {
		c.links.drop(key.Link, sequence)
	} else {
		c.grants.drop(key, sequence)
	}
	c.heard.Store(sequence)
}

// get returns a token that lives long enough, of a link that is usable; a caller
// that knows of an event gets nothing that may be older.
func (c *Cache) get(key domain.Key, now time.Time, w wish, minSequence uint64) (Token, bool) {
	if c == nil || !c.on.Load() || c.heard.Load() < minSequence {
		return Token{}, false
	}
	if _, ok := c.links.get(key.Link, now); !ok {
		return Token{}, false
	}
	k, ok := c.grants.get(key, now)
	if !ok || !fresh(k.issued, now, w) {
		return Token{}, false
	}
	return k.token, true
}

// usable remembers that a link was usable as its event of that sequence left it.
func (c *Cache) usable(link uuid.UUID, sequence uint64, now time.Time) {
	if c != nil && c.on.Load() {
		c.links.put(link, struct{}{}, sequence, now)
	}
}

// Keep remembers what was read of a grant as its event of that sequence left it.
func (c *Cache) Keep(key domain.Key, t Token, issued *grant.TokenIssued, sequence uint64, now time.Time) {
	if c != nil && c.on.Load() {
		c.grants.put(key, kept{t, issued}, sequence, now)
	}
}

// memo remembers what was read of aggregates, least recently used out first.
type memo[K comparable, V any] struct {
	entries *lru.Cache[K, entry[V]]
	floors  *lru.Cache[K, uint64] // the last change of those that changed lately
}

type entry[V any] struct {
	value    V
	sequence uint64
	read     time.Time
}

func newMemo[K comparable, V any](size int) *memo[K, V] {
	entries, _ := lru.New[K, entry[V]](max(size, 1)) // fails for sizes below one only
	changes, _ := lru.New[K, uint64](floors)
	return &memo[K, V]{entries, changes}
}

func (m *memo[K, V]) get(k K, now time.Time) (V, bool) {
	e, ok := m.entries.Get(k)
	return e.value, ok && now.Sub(e.read) < maxAge
}

// put keeps what was read at a sequence, then looks whether a change came in
// between: in this order, so that of two at once one sees the other.
func (m *memo[K, V]) put(k K, v V, sequence uint64, read time.Time) {
	m.entries.Add(k, entry[V]{v, sequence, read})
	if floor, ok := m.floors.Peek(k); ok && sequence < floor {
		m.entries.Remove(k)
	}
}

func (m *memo[K, V]) drop(k K, sequence uint64) {
	m.floors.Add(k, sequence)
	if e, ok := m.entries.Peek(k); ok && e.sequence < sequence {
		m.entries.Remove(k)
	}
}

func (m *memo[K, V]) clear() { m.entries.Purge() }
