package vault_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/testenv"
)

// Of several who keep a credential after the same one, in three replicas, one does
// so, and the others are overtaken: not told that the vault is away, which would
// have them keep the same again.
func TestOvertakenInACluster(t *testing.T) {
	n := testenv.NodeAt(t, testenv.Cluster(t).URL(), 3, t.TempDir(), "n", "commands")
	key, after := domain.Key{Link: uuid.New(), Grant: uuid.New()}, uint64(0)
	if _, err := n.Vault.MakeKey(t.Context(), key, false); err != nil {
		t.Fatal(err)
	}
	for round := range uint64(30) {
		var all sync.WaitGroup
		var won atomic.Int64
		for range 8 {
			all.Go(func() {
				err := n.Vault.StoreCredential(t.Context(), key, commands.Credential{
					Issued: grant.TokenIssued{Generation: round + 1}, AccessToken: domain.NewSecret("token"),
				}, after)
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, commands.ErrOvertaken):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		all.Wait()
		c, revision, err := n.Vault.Credential(t.Context(), key)
		if won.Load() != 1 || err != nil || c.Issued.Generation != round+1 {
			t.Fatalf("round %d: %d won, and generation %d is kept, %v", round, won.Load(), c.Issued.Generation, err)
		}
		after = revision
	}
}

// Of several who need the key of a grant at once, in three replicas, all get the
// same one; and of several who keep the same first secret of a link, all have.
func TestKeysMadeAtOnceInACluster(t *testing.T) {
	n := testenv.NodeAt(t, testenv.Cluster(t).URL(), 3, t.TempDir(), "n", "commands")
	for round := range 30 {
		key, id := domain.Key{Link: uuid.New(), Grant: uuid.New()}, uuid.New()
		var all sync.WaitGroup
		var derived sync.Map
		for i := range 8 {
			all.Go(func() {
				_, err := n.Vault.MakeKey(t.Context(), key, i%2 == 0)
				b, derr := n.Vault.Derive(t.Context(), key, "test", id)
				if err != nil || derr != nil {
					t.Errorf("round %d: make: %v, derive: %v", round, err, derr)
				}
				derived.Store(string(b), true)
			})
			all.Go(func() {
				if err := n.Vault.StoreClientSecret(t.Context(), key.Link, 1, domain.NewSecret("secret")); err != nil {
					t.Errorf("round %d: keep a client secret: %v", round, err)
				}
			})
		}
		all.Wait()
		different := 0
		derived.Range(func(any, any) bool { different++; return true })
		if got, err := n.Vault.ClientSecret(t.Context(), key.Link, 1); different != 1 || err != nil || got.Reveal() != "secret" {
			t.Fatalf("round %d: %d different keys; a client secret of %d bytes, %v", round, different, len(got.Reveal()), err)
		}
	}
}
