package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nkeys"

	"outlink/domain"
)

// keyLife is how long a curve key is remembered, so that a process that runs for
// months learns of a new one.
const keyLife = 5 * time.Minute

// curveKey is the namespace's public curve key as it was told last.
type curveKey struct {
	mu     sync.Mutex
	public string
	asked  time.Time
}

// Seal seals a secret to the namespace. The typed commands do it by themselves.
func (c Client) Seal(ctx context.Context, secret domain.Secret) (domain.SecretInput, error) {
	if secret.IsZero() {
		return domain.SecretInput{}, nil
	}
	to, err := c.curveKey(ctx)
	if err != nil {
		return domain.SecretInput{}, err
	}
	own, err := nkeys.CreateCurveKeys()
	if err != nil {
		return domain.SecretInput{}, err
	}
	defer own.Wipe()
	from, err := own.PublicKey()
	if err != nil {
		return domain.SecretInput{}, err
	}
	box, err := own.Seal([]byte(secret.Reveal()), to)
	if err != nil {
		return domain.SecretInput{}, fmt.Errorf("seal to curve key %s: %w", to, err)
	}
	return domain.SecretInput{Sealed: &domain.Sealed{From: from, Ciphertext: box}}, nil
}

func (c Client) curveKey(ctx context.Context) (string, error) {
	if c.key == nil {
		info, err := c.Info(ctx)
		return info.CurveKey, err
	}
	if public := c.key.known(); public != "" {
		return public, nil
	}
	info, err := c.Info(ctx) // outside the lock: a slow answer holds nobody else up
	if err == nil {
		c.key.learn(info.CurveKey)
	}
	return info.CurveKey, err
}

func (k *curveKey) known() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.asked) > keyLife {
		return ""
	}
	return k.public
}

func (k *curveKey) learn(public string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.public, k.asked = public, time.Now()
}
