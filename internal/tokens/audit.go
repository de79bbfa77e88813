package tokens

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// Reads is an entry of the audit: who read which token, how often, in about a
// second. Never the token.
type Reads struct {
	Reader     string    `json:"reader,omitempty"` // empty: the transport did not know
	Link       uuid.UUID `json:"link_id"`
	Grant      uuid.UUID `json:"grant_id"`
	Generation uint64    `json:"generation"`
	Purpose    string    `json:"purpose,omitempty"`
	Reads      int       `json:"reads"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Node       string    `json:"node"`
}

// Audit writes down reads of tokens: one entry a second for all equal ones, so
// that reading stays as fast as it is. A node that is killed loses a second of it.
type Audit struct {
	Publish func(ctx context.Context, r Reads) error
	Node    string
	Log     *slog.Logger

	mu    sync.Mutex
	reads map[seen]*Reads
}

// seen is what equal reads have in common.
type seen struct {
	reader, purpose string
	key             domain.Key
	generation      uint64
}

func (a *Audit) read(r Request, key domain.Key, generation uint64, now time.Time) {
	if a == nil {
		return
	}
	s := seen{r.Reader, r.Purpose, key, generation}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reads == nil {
		a.reads = map[seen]*Reads{}
	}
	e := a.reads[s]
	if e == nil {
		e = &Reads{
			Reader: r.Reader, Purpose: r.Purpose, Link: key.Link, Grant: key.Grant,
			Generation: generation, From: now, Node: a.Node,
		}
		a.reads[s] = e
	}
	e.Reads, e.To = e.Reads+1, now
}

// Run writes every second, and what is left at the end.
func (a *Audit) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			a.flush(last)
			return nil
		}
	}
}

func (a *Audit) flush(ctx context.Context) {
	a.mu.Lock()
	reads := a.reads
	a.reads = nil
	a.mu.Unlock()
	for s, r := range reads {
		if err := a.Publish(ctx, *r); err != nil {
			a.Log.Warn("reads of tokens are written down later", "error", err)
			a.giveBack(s, r)
		}
	}
}

// maxWaiting bounds the entries that wait while the stream is away.
const maxWaiting = 50_000

// giveBack keeps an entry for the next time.
func (a *Audit) giveBack(s seen, r *Reads) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reads == nil {
		a.reads = map[seen]*Reads{}
	}
	if newer := a.reads[s]; newer != nil {
		newer.Reads, newer.From = newer.Reads+r.Reads, r.From
		return
	}
	if len(a.reads) >= maxWaiting {
		a.Log.Error("reads of a token are not in the audit", "reader", r.Reader, "link", r.Link, "grant", r.Grant, "reads", r.Reads)
		return
	}
	a.reads[s] = r
}
