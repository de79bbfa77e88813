package vault

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
)

// keyed is the entry of a data key. A link's first client secret is beside the
// key, so that a new link takes one write and shredding the key takes both. An
// entry without is the wrapped key alone: that of a grant, and of a link whose
// first secret is among the boxes, as they all were, or is no longer needed.
type keyed struct {
	Key   []byte `json:"key"` // wrapped
	First []byte `json:"client_secret"`
}

// readKeyed tells the two forms apart: what is wrapped is no JSON.
func readKeyed(value []byte) keyed {
	var k keyed
	if json.Unmarshal(value, &k) != nil || len(k.Key) == 0 {
		return keyed{Key: value}
	}
	return k
}

func (k keyed) value() []byte {
	if k.First == nil {
		return k.Key
	}
	b, _ := json.Marshal(k) // bytes only
	return b
}

// storeFirst keeps the first client secret of a link and makes the link's data key.
func (v *Vault) storeFirst(ctx context.Context, key domain.Key, s domain.Secret) error {
	dek, wrapped, err := v.newKey(key)
	if err != nil {
		return err
	}
	err = v.placeKey(ctx, key, keyed{wrapped, v.seal(dek, key, field, 1, s)}.value())
	switch {
	case bus.IsStale(err):
		return v.addFirst(ctx, key, s)
	case err != nil:
		return unavailable("keep the client secret of "+key.String(), err)
	}
	return nil
}

// settled is how long a client secret of a generation stays as it is, whoever wants
// another one: longer than two commands may take. By then it is the link's, and the
// next one is of the next generation, or was left behind by a command that ended
// before the link's event.
const settled = 2 * time.Minute

// addFirst keeps a first client secret where the key is there: somebody does the
// same at this moment, or did it before and came no further.
func (v *Vault) addFirst(ctx context.Context, key domain.Key, s domain.Secret) error {
	return v.changeKeyed(ctx, key, func(entry jetstream.KeyValueEntry, k *keyed) error {
		dek, err := v.keyOf(key, entry)
		if err != nil {
			return err
		}
		there, since, err := v.foundFirst(ctx, key, dek, entry)
		switch {
		case err != nil:
			return err
		case there.Reveal() == s.Reveal():
			return errUnchanged
		case !there.IsZero() && v.Now().Sub(since) < settled:
			return busy(key.Link)
		}
		k.First = v.seal(dek, key, field, 1, s)
		return nil
	})
}

// foundFirst is the first client secret that opens with the key, in either of its
// places, and since when it is there.
func (v *Vault) foundFirst(ctx context.Context, key domain.Key, dek []byte, entry jetstream.KeyValueEntry) (s domain.Secret, since time.Time, err error) {
	box := readKeyed(entry.Value()).First
	if box == nil {
		entry, err = v.boxes.Get(ctx, secretEntry(key.Link, 1))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return s, since, nil
		}
		if err != nil {
			return s, since, unavailable("look up the client secret of "+key.String(), err)
		}
		box = entry.Value()
	}
	if s, err = v.open(dek, key, field, 1, box); err != nil {
		return s, since, nil //nolint:nilerr // sealed under a key that is gone: nobody's secret
	}
	return s, entry.Created(), nil
}

// first is the first client secret if it is beside the link's key.
func (v *Vault) first(ctx context.Context, key domain.Key) (s domain.Secret, err error) {
	entry, err := v.keys.Get(ctx, keyEntry(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return s, nil
	}
	if err != nil {
		return s, unavailable("look up the client secret of "+key.String(), err)
	}
	k := readKeyed(entry.Value())
	if k.First == nil {
		return s, nil
	}
	dek, err := v.keyOf(key, entry)
	if err != nil {
		return s, err
	}
	return v.open(dek, key, field, 1, k.First)
}

// removeFirst leaves the key alone in its entry.
func (v *Vault) removeFirst(ctx context.Context, key domain.Key) error {
	return v.changeKeyed(ctx, key, func(_ jetstream.KeyValueEntry, k *keyed) error {
		if k.First == nil {
			return errUnchanged
		}
		k.First = nil
		return nil
	})
}

// errUnchanged leaves an entry as it is.
var errUnchanged = errors.New("unchanged")

// changeKeyed changes a link's entry as nobody else does at the same time. A key
// that is shredded meanwhile stays so.
func (v *Vault) changeKeyed(ctx context.Context, key domain.Key, change func(jetstream.KeyValueEntry, *keyed) error) error {
	for {
		entry, err := v.keys.Get(ctx, keyEntry(key))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return errNoKey
		}
		if err != nil {
			return unavailable("look up the key of "+key.String(), err)
		}
		k := readKeyed(entry.Value())
		if err := change(entry, &k); errors.Is(err, errUnchanged) {
			return nil
		} else if err != nil {
			return err
		}
		_, err = v.keys.Update(ctx, keyEntry(key), k.value(), entry.Revision())
		if err == nil {
			return nil
		}
		if !bus.Settle(ctx, err) && !bus.IsStale(err) {
			return unavailable("keep the client secret of "+key.String(), err)
		}
	}
}
