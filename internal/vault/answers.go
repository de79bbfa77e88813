package vault

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"outlink/domain"
)

// AnswerSealer returns a function that seals the answer to an attempt. Whatever
// the key service has to do happens now, whether or not the key is in memory: a
// refresh is not begun while the service is away, and an answer that has come
// can be sealed and stored without it.
func (v *Vault) AnswerSealer(ctx context.Context, key domain.Key, attempt uuid.UUID) (func([]byte) []byte, error) {
	v.Forget(key)
	dek, err := v.dataKey(ctx, key)
	if err != nil {
		return nil, err
	}
	return func(answer []byte) []byte {
		return sealer(dek).Seal(nil, nil, answer, v.aad("answer", key, attempt.String(), 0))
	}, nil
}

// OpenAnswer opens what the sealer of the same attempt sealed. The error's code
// is FailedPrecondition when the grant's key is shredded.
func (v *Vault) OpenAnswer(ctx context.Context, key domain.Key, attempt uuid.UUID, box []byte) ([]byte, error) {
	dek, err := v.dataKey(ctx, key)
	if err != nil {
		return nil, err
	}
	plain, err := sealer(dek).Open(nil, nil, box, v.aad("answer", key, attempt.String(), 0))
	if err != nil {
		return nil, fmt.Errorf("open the answer to attempt %s of %s: the box was changed or moved", attempt, key)
	}
	return plain, nil
}
