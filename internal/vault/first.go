package vault

import (
	"context"
	"crypto/rand"

	"outlink/domain"
)

// storeFirst keeps the first client secret of a link that has no data key, and a
// new key with it, at the same time. It reports whether that is done; if not,
// nothing is lost by doing it one after the other.
//
// Both entries are made only where there are none. Of two who do this at once one
// makes the key, and the other one maybe the box, which nobody could open: but
// then neither is done, and both write the box again under the key that is there.
func (v *Vault) storeFirst(ctx context.Context, key domain.Key, s domain.Secret) bool {
	dek := make([]byte, 32)
	_, _ = rand.Read(dek) // never fails (Go 1.24)
	wrapped, err := v.kek.Encrypt(dek, v.aad("dek", key, "", 0))
	if err != nil {
		return false
	}
	boxed := make(chan error, 1)
	go func() {
		_, err := v.boxes.Create(ctx, secretEntry(key.Link, 1), v.seal(dek, key, "client_secret", 1, s))
		boxed <- err
	}()
	_, err = v.keys.Create(ctx, keyEntry(key), wrapped)
	return <-boxed == nil && err == nil
}
