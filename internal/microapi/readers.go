package microapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"outlink/domain"
)

// Readers knows the curve keys that readers registered: what goes to one of them
// is sealed, so that whoever listens in on its inbox reads nothing.
type Readers struct {
	kv    jetstream.KeyValue // reader's name to public curve key
	log   *slog.Logger
	heard chan struct{} // closed when all registrations that there were are known

	mu   sync.RWMutex
	keys map[string]string
}

// NewReaders are the readers registered in a bucket.
func NewReaders(kv jetstream.KeyValue, log *slog.Logger) *Readers {
	return &Readers{kv: kv, log: log, heard: make(chan struct{}), keys: map[string]string{}}
}

// Run follows the registrations until the context ends.
func (r *Readers) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.follow(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("registrations of readers could not be followed", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func (r *Readers) follow(ctx context.Context) error {
	watcher, err := r.kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, ok := <-watcher.Updates():
			if !ok {
				return fmt.Errorf("the watcher of %s ended", r.kv.Bucket())
			}
			if e == nil { // that was all there is so far
				r.ready()
				continue
			}
			r.register(e)
		}
	}
}

func (r *Readers) ready() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.complete() {
		close(r.heard)
	}
}

func (r *Readers) complete() bool {
	select {
	case <-r.heard:
		return true
	default:
		return false
	}
}

func (r *Readers) register(e jetstream.KeyValueEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Operation() != jetstream.KeyValuePut {
		delete(r.keys, e.Key())
		return
	}
	r.keys[e.Key()] = string(e.Value())
}

func (r *Readers) key(reader string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys[reader]
}

// Clear reports whether a reader's replies are known to go in clear.
func (r *Readers) Clear(reader string) bool {
	return r == nil || reader == "" || r.complete() && r.key(reader) == ""
}

// Seal seals a reply to the reader's curve key, or returns it as it is for one
// without: {"from": <public curve key>, "ciphertext": <base64>}. While this node
// does not know yet who is registered, it waits.
func (r *Readers) Seal(ctx context.Context, reader string, reply any) (any, error) {
	if r == nil || reader == "" {
		return reply, nil
	}
	select {
	case <-r.heard:
	case <-ctx.Done():
		return nil, domain.Errorf(domain.Unavailable, "this node does not know yet which readers are registered; try again")
	}
	to := r.key(reader)
	if to == "" {
		return reply, nil
	}
	plain, err := json.Marshal(reply)
	if err != nil {
		return nil, err
	}
	own, err := nkeys.CreateCurveKeys()
	if err != nil {
		return nil, err
	}
	defer own.Wipe()
	from, err := own.PublicKey()
	if err != nil {
		return nil, err
	}
	box, err := own.Seal(plain, to)
	if err != nil {
		return nil, domain.Errorf(domain.FailedPrecondition, "the curve key that is registered for reader %q is not usable; register another: outlink reader register", reader)
	}
	return domain.Sealed{From: from, Ciphertext: box}, nil
}
