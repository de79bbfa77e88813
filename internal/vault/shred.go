package vault

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
)

// Shred destroys the data key of a link or grant, and what it sealed. It is
// safe to repeat.
func (v *Vault) Shred(ctx context.Context, key domain.Key) error {
	for {
		shred, err := v.Doomed(ctx, key)
		if err != nil {
			return err
		}
		if gone, err := shred(ctx); gone || err != nil {
			return err
		}
	}
}

// Doomed returns a function that shreds what there is of a link or grant now, and
// reports whether the key is gone. What is made later stays: of two who erase a grant
// one may be late, and a person has authorized it anew. Look again then.
func (v *Vault) Doomed(ctx context.Context, key domain.Key) (shred func(context.Context) (gone bool, err error), err error) {
	names := []string{keyEntry(key)}
	if key.Grant == uuid.Nil {
		if names, err = v.secretEntries(ctx, key.Link); err != nil {
			return nil, err
		}
	}
	there := uint64(0) // a link is never begun anew: its key goes, whatever was added to it
	if key.Grant != uuid.Nil {
		if there, err = revision(ctx, v.keys, keyEntry(key)); err != nil {
			return nil, unavailable("look up the key of "+key.String(), err)
		}
	}
	boxes := map[string]uint64{}
	for _, name := range names {
		if boxes[name], err = revision(ctx, v.boxes, name); err != nil {
			return nil, unavailable("look up the secrets of "+key.String(), err)
		}
	}
	return func(ctx context.Context) (gone bool, err error) {
		v.Forget(key)
		if gone = there == 0 && key.Grant != uuid.Nil; !gone {
			if gone, err = purge(ctx, v.keys, keyEntry(key), there); err != nil {
				return false, unavailable("shred the key of "+key.String(), err)
			}
		}
		for name, there := range boxes {
			if there == 0 {
				continue
			}
			if _, err := purge(ctx, v.boxes, name, there); err != nil {
				return false, unavailable("remove the secrets of "+key.String(), err)
			}
		}
		return gone, nil
	}, nil
}

// GrantsOf lists the grants of a link that a credential is kept of. Keys are listed by
// nobody.
func (v *Vault) GrantsOf(ctx context.Context, link uuid.UUID) ([]domain.Key, error) {
	lister, err := v.boxes.ListKeysFiltered(ctx, "grant."+link.String()+".*")
	if err != nil {
		return nil, unavailable("list the grants of link "+link.String(), err)
	}
	var grants []domain.Key
	for name := range lister.Keys() {
		if id, err := uuid.Parse(name[strings.LastIndexByte(name, '.')+1:]); err == nil {
			grants = append(grants, domain.Key{Link: link, Grant: id})
		}
	}
	return grants, nil
}

// revision is an entry's; 0: there is none.
func revision(ctx context.Context, kv jetstream.KeyValue, name string) (uint64, error) {
	entry, err := kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return entry.Revision(), nil
}

// purge removes an entry if it is still of a revision, and reports whether it was; 0
// is any.
func purge(ctx context.Context, kv jetstream.KeyValue, name string, revision uint64) (bool, error) {
	for {
		err := kv.Purge(ctx, name, jetstream.LastRevision(revision))
		switch {
		case bus.Settle(ctx, err): // somebody writes there
		case bus.IsStale(err): // somebody did it, or wrote another one
			return false, nil
		default:
			return err == nil, err
		}
	}
}
