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
	KV  jetstream.KeyValue // reader's name to public curve key
	Log *slog.Logger

	mu   sync.RWMutex
	keys map[string]string
}

// Run follows the registrations until the context ends.
func (r *Readers) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := r.follow(ctx); err != nil && ctx.Err() == nil {
			r.Log.Warn("registrations of readers could not be followed", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func (r *Readers) follow(ctx context.Context) error {
	watcher, err := r.KV.WatchAll(ctx)
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
				return fmt.Errorf("the watcher of %s ended", r.KV.Bucket())
			}
			if e != nil { // nil: that was all there is so far
				r.register(e)
			}
		}
	}
}

func (r *Readers) register(e jetstream.KeyValueEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[string]string{}
	}
	if e.Operation() != jetstream.KeyValuePut {
		delete(r.keys, e.Key())
		return
	}
	r.keys[e.Key()] = string(e.Value())
}

func (r *Readers) key(reader string) string {
	if r == nil || reader == "" {
		return ""
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys[reader]
}

// Sealed reports whether a reader's replies are sealed.
func (r *Readers) Sealed(reader string) bool { return r.key(reader) != "" }

// Seal seals a reply to the reader's curve key, or returns it as it is for one
// without: {"from": <public curve key>, "ciphertext": <base64>}.
func (r *Readers) Seal(reader string, reply any) (any, error) {
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
