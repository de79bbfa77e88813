package eventlog

import (
	"context"
	"hash/maphash"
)

// trail is what a reader of whole subjects remembers of its way: where each
// subject was last seen. With that it tells the place of a message without asking
// the stream.
type trail struct {
	guard *Guard
	whole bool // it began at the log's first message and has forgotten nothing
	seed  maphash.Seed
	seen  map[uint64]uint64 // by the subject's hash
}

// trailLength bounds the subjects that a reader remembers, about 40 bytes each.
// A longer log costs a question to the stream for each subject met again.
const trailLength = 1_000_000

func (g *Guard) trail(after uint64) *trail {
	return &trail{guard: g, whole: after == 0, seed: maphash.MakeSeed(), seen: map[uint64]uint64{}}
}

// foreign is [Guard.foreign] for the next message of the trail.
func (t *trail) foreign(ctx context.Context, m message) (string, error) {
	if t.guard == nil {
		return "", nil
	}
	reason, err := t.guard.judge(ctx, m, t.placed)
	if err == nil {
		t.passed(m)
	}
	return reason, err
}

// placed goes by memory when that agrees. When not, the stream decides: the
// memory has gaps, and two subjects may share a hash.
func (t *trail) placed(ctx context.Context, m message, after uint64) (bool, error) {
	last, known := t.seen[maphash.String(t.seed, m.subject)]
	if (known || t.whole) && last == after {
		return true, nil
	}
	return t.guard.placed(ctx, m, after)
}

func (t *trail) passed(m message) {
	if len(t.seen) >= trailLength {
		clear(t.seen)
		t.whole = false
	}
	t.seen[maphash.String(t.seed, m.subject)] = m.sequence
}
