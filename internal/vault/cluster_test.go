package vault_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/bus"
	"outlink/internal/testenv"
)

// Of several who keep a credential after the same one, in three replicas, one does
// so, and the others are overtaken: not told that the vault is away, which would
// have them keep the same again.
func TestOvertakenInACluster(t *testing.T) {
	n := testenv.NodeAt(t, testenv.Cluster(t).URL(), 3, t.TempDir(), "n", "commands")
	key, after := domain.Key{Link: uuid.New(), Grant: uuid.New()}, uint64(0)
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
		for range 8 {
			all.Go(func() {
				b, err := n.Vault.Derive(t.Context(), key, "test", id)
				if err != nil {
					t.Errorf("round %d: derive: %v", round, err)
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

// A replicated stream refuses a message whose subject another one is being written
// to with a code of its own, which nats.go knows and [bus.IsStale] has to as well.
func TestRefusalWhileAnotherIsWritten(t *testing.T) {
	nc, err := nats.Connect(testenv.Cluster(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "refusals", Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	codes := map[jetstream.ErrorCode]int{}
	var mu sync.Mutex
	for range 50 {
		var all sync.WaitGroup
		revision, err := kv.Put(t.Context(), "key", []byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			all.Go(func() {
				_, err := kv.Update(t.Context(), "key", []byte("after"), revision)
				var refused *jetstream.APIError
				if err != nil && (!bus.IsStale(err) || !errors.As(err, &refused)) {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if refused != nil {
					codes[refused.ErrorCode]++
				}
			})
		}
		all.Wait()
	}
	if codes[jetstream.JSErrCodeStreamWrongLastSequenceConstant] == 0 {
		t.Errorf("refusals by code: %v; the server has changed, and this test shows nothing", codes)
	}
}
