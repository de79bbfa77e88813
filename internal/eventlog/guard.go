package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Guard tells the events of this namespace's nodes from what others put into the
// log: messages without a MAC, with a changed one, moved from another subject, or
// repeated. It names them as foreign and raises an alarm; readers ignore them.
//
// An event's MAC is over its subject and over the sequence after which it was
// appended there, and the stream takes one message after that only. So each MAC
// fits one place, and a copy none. A nil Guard takes everything for genuine:
// that of a reader who holds no key.
type Guard struct {
	Stream jetstream.Stream                         // EVENTS
	Keys   func(ctx context.Context) ([]Key, error) // the namespace's, oldest first
	Log    *slog.Logger

	mu      sync.Mutex
	keys    []Key
	asked   time.Time
	genuine map[uint64]bool // sequences of what was found to be genuine
	alarmed map[uint64]bool
}

// keysAge is how long keys are believed: a retired one counts no longer, and a
// new one is used, after so long at most.
const keysAge = time.Minute

// remembered bounds how many sequences a guard keeps, about 40 bytes each.
const remembered = 100_000

// message is one of the log, however it was read.
type message struct {
	subject  string
	sequence uint64
	header   nats.Header
	data     []byte
}

func raw(m *jetstream.RawStreamMsg) message { return message{m.Subject, m.Sequence, m.Header, m.Data} }

// seal authenticates a message that follows another on its subject.
func (g *Guard) seal(ctx context.Context, m *nats.Msg, after uint64) error {
	if g == nil {
		return nil
	}
	keys, err := g.ring(ctx, keysAge)
	if err != nil {
		return err
	}
	keys[len(keys)-1].seal(m, strconv.FormatUint(after, 10))
	return nil
}

// ring is the namespace's keys as they were at most so long ago.
func (g *Guard) ring(ctx context.Context, age time.Duration) ([]Key, error) {
	g.mu.Lock()
	keys, asked := g.keys, g.asked
	g.mu.Unlock()
	if keys != nil && time.Since(asked) < age {
		return keys, nil
	}
	now := time.Now() // before the question: what changes meanwhile is asked for again
	keys, err := g.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the keys of events: %w", unavailable(err))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys, g.asked = keys, now
	return keys, nil
}

// know remembers a message as genuine.
func (g *Guard) know(sequence uint64) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	remember(&g.genuine, sequence)
}

func (g *Guard) knows(sequence uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.genuine[sequence]
}

// remember adds to a bounded set and reports whether that is new.
func remember(set *map[uint64]bool, sequence uint64) bool {
	if (*set)[sequence] {
		return false
	}
	if *set == nil || len(*set) >= remembered {
		*set = map[uint64]bool{} // simple, and rare
	}
	(*set)[sequence] = true
	return true
}

// foreign says why a message is none of this namespace's nodes, and raises the
// alarm; "" when it is one. An error says that it can't be told now.
func (g *Guard) foreign(ctx context.Context, m message) (string, error) {
	return g.judge(ctx, m, g.placed)
}

// The reasons.
const (
	noMAC     = "it has no message authentication code (MAC)"
	noKey     = "its MAC is of a key that is not this namespace's"
	retired   = "its MAC is of a key that was retired before"
	changed   = "its MAC does not fit: it was made by somebody else, changed, or moved from another subject"
	misplaced = "its MAC is for another place on this subject: it is the copy of an event"
)

// judge is foreign, with a way to find whether a message is where its MAC says.
func (g *Guard) judge(ctx context.Context, m message, placed func(context.Context, message, uint64) (bool, error)) (string, error) {
	if g == nil {
		return "", nil
	}
	keys, err := g.ring(ctx, keysAge)
	if err != nil || m.sequence <= keys[0].Since {
		return "", err // written before there was a key
	}
	reason, err := g.unauthentic(ctx, keys, m)
	if err == nil && reason == "" {
		var ok bool
		after, parseErr := strconv.ParseUint(get(m.header, headerAfter), 10, 64)
		if ok, err = placed(ctx, m, after); err == nil && (!ok || parseErr != nil) {
			reason = misplaced
		}
	}
	if reason != "" {
		g.alarm(m, reason)
	}
	return reason, err
}

func (g *Guard) unauthentic(ctx context.Context, keys []Key, m message) (string, error) {
	id := get(m.header, headerMACKey)
	if id == "" || get(m.header, headerMAC) == "" {
		return noMAC, nil
	}
	of := func(k Key) bool { return k.ID == id }
	i := slices.IndexFunc(keys, of)
	if i < 0 { // made since by another node, or by nobody
		var err error
		if keys, err = g.ring(ctx, 0); err != nil {
			return "", err
		}
		i = slices.IndexFunc(keys, of)
	}
	switch {
	case i < 0:
		return noKey, nil
	case keys[i].Until > 0 && m.sequence > keys[i].Until:
		return retired, nil
	case !keys[i].made(m):
		return changed, nil
	}
	return "", nil
}

// placed reports whether a message is the first on its subject after a sequence.
// It asks the stream, unless nothing can be in between or the answer is known.
func (g *Guard) placed(ctx context.Context, m message, after uint64) (bool, error) {
	if after+1 == m.sequence || g.knows(m.sequence) {
		return true, nil
	}
	if after >= m.sequence {
		return false, nil
	}
	first, err := g.Stream.GetMsg(ctx, after+1, jetstream.WithGetMsgSubject(m.subject))
	if err != nil { // also of a replica that lags
		return false, fmt.Errorf("find the place of event %d: %w", m.sequence, unavailable(err))
	}
	if first.Sequence == m.sequence {
		g.know(m.sequence)
	}
	return first.Sequence == m.sequence, nil
}

// alarm tells of a foreign message, once in the life of this guard. Whoever looks
// further finds it in the stream by its sequence.
func (g *Guard) alarm(m message, reason string) {
	g.mu.Lock()
	first := remember(&g.alarmed, m.sequence)
	g.mu.Unlock()
	if first {
		g.Log.Error("a foreign message is in the log of events; it is ignored", "sequence", m.sequence, "subject", m.subject, "reason", reason)
	}
}

// lastGenuine is the given message, or else the last event before it on its
// subject that is not foreign; nil when there is none.
func (g *Guard) lastGenuine(ctx context.Context, last *jetstream.RawStreamMsg) (*jetstream.RawStreamMsg, error) {
	reason, err := g.foreign(ctx, raw(last))
	if err != nil || reason == "" {
		return last, err
	}
	// The stream finds the next on a subject, not the one before: look in windows
	// that grow backwards.
	end, window := last.Sequence, uint64(64)
	for end > 1 {
		from := end - min(window, end-1)
		found, err := g.lastBetween(ctx, last.Subject, from, end)
		if err != nil || found != nil {
			return found, err
		}
		end, window = from, window*4
	}
	return nil, nil
}

func (g *Guard) lastBetween(ctx context.Context, subject string, from, end uint64) (last *jetstream.RawStreamMsg, err error) {
	for from < end {
		m, err := g.Stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("look for the last event of %s: %w", subject, unavailable(err))
		}
		if m.Sequence >= end {
			break
		}
		reason, err := g.foreign(ctx, raw(m))
		if err != nil {
			return nil, err
		}
		if reason == "" {
			last = m
		}
		from = m.Sequence + 1
	}
	return last, nil
}
