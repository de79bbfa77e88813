package vault

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
)

// field is the name of a client secret in the data that its box is bound to.
const field = "client_secret"

// secretEntry is where a link's client secret of a generation is kept.
func secretEntry(link uuid.UUID, generation uint64) string {
	return fmt.Sprintf("link.%s.%d", link, generation)
}

func (v *Vault) secretEntries(ctx context.Context, link uuid.UUID) ([]string, error) {
	lister, err := v.boxes.ListKeysFiltered(ctx, "link."+link.String()+".*")
	if err != nil {
		return nil, unavailable("list the secrets of link "+link.String(), err)
	}
	var names []string
	for name := range lister.Keys() {
		names = append(names, name)
	}
	return names, nil
}

// StoreClientSecret keeps the client secret of a link's generation, and the one
// before; older ones go.
func (v *Vault) StoreClientSecret(ctx context.Context, link uuid.UUID, generation uint64, s domain.Secret) error {
	key := domain.Key{Link: link}
	if generation == 1 {
		return v.storeFirst(ctx, key, s)
	}
	if err := v.storeNext(ctx, key, generation, s); err != nil {
		return err
	}
	if generation > 2 {
		return v.removeSecret(ctx, key, generation-2)
	}
	return nil
}

// storeNext keeps a client secret unless another one is there for its generation:
// the link's own, or that of a command that is at it.
func (v *Vault) storeNext(ctx context.Context, key domain.Key, generation uint64, s domain.Secret) error {
	dek, err := v.linkKey(ctx, key)
	if err != nil {
		return err
	}
	name, box := secretEntry(key.Link, generation), v.seal(dek, key, field, generation, s)
	err = bus.Create(ctx, v.boxes, name, box)
	if errors.Is(err, jetstream.ErrKeyExists) {
		var entry jetstream.KeyValueEntry
		if entry, err = v.boxes.Get(ctx, name); err == nil {
			there, unreadable := v.open(dek, key, field, generation, entry.Value())
			switch {
			case unreadable == nil && there.Reveal() == s.Reveal():
				return nil
			case unreadable == nil && v.Now().Sub(entry.Created()) < settled:
				return busy(key.Link)
			}
			_, err = v.boxes.Update(ctx, name, box, entry.Revision())
		}
	}
	if bus.IsStale(err) || errors.Is(err, jetstream.ErrKeyNotFound) {
		return busy(key.Link)
	}
	if err != nil {
		return unavailable("keep the client secret of "+key.String(), err)
	}
	return nil
}

// linkKey is the data key of a link, made where there never was one: a log may have
// moved here without its secrets.
func (v *Vault) linkKey(ctx context.Context, key domain.Key) ([]byte, error) {
	dek, err := v.dataKey(ctx, key)
	if !errors.Is(err, errNoKey) {
		return dek, err
	}
	_, wrapped, err := v.newKey(key)
	if err != nil {
		return nil, err
	}
	if err := v.placeKey(ctx, key, wrapped); err != nil && !bus.IsStale(err) {
		return nil, unavailable("keep the key of "+key.String(), err)
	}
	return v.dataKey(ctx, key)
}

// placeKey places the entry of a link's key where there never was one: a link that is
// gone gets none.
func (v *Vault) placeKey(ctx context.Context, key domain.Key, value []byte) error {
	for {
		_, err := v.keys.Update(ctx, keyEntry(key), value, 0)
		if !bus.Settle(ctx, err) {
			return err
		}
	}
}

// busy refuses a client secret while another command keeps one.
func busy(link uuid.UUID) error {
	return domain.Errorf(domain.Unavailable, "another command keeps a client secret for link %s; try again in %s", link, settled)
}

// removeSecret removes a client secret that counts no longer.
func (v *Vault) removeSecret(ctx context.Context, key domain.Key, generation uint64) error {
	if generation == 1 {
		if err := v.removeFirst(ctx, key); err != nil {
			return err
		}
	}
	if err := v.boxes.Purge(ctx, secretEntry(key.Link, generation)); err != nil {
		return unavailable("remove an old client secret of link "+key.Link.String(), err)
	}
	return nil
}

// ClientSecret returns the client secret of a link's generation; none for 0.
func (v *Vault) ClientSecret(ctx context.Context, link uuid.UUID, generation uint64) (domain.Secret, error) {
	key := domain.Key{Link: link}
	switch generation {
	case 0:
		return domain.Secret{}, nil
	case 1:
		if secret, err := v.first(ctx, key); err != nil || !secret.IsZero() {
			return secret, err
		}
	}
	entry, err := v.boxes.Get(ctx, secretEntry(link, generation))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return domain.Secret{}, domain.Errorf(domain.FailedPrecondition, "the client secret of link %s, generation %d, is not in the vault; give it anew: outlink link replace-secret %s", link, generation, link)
	}
	if err != nil {
		return domain.Secret{}, unavailable("look up the client secret of link "+link.String(), err)
	}
	dek, err := v.dataKey(ctx, key)
	if err != nil {
		return domain.Secret{}, err
	}
	return v.open(dek, key, field, generation, entry.Value())
}
