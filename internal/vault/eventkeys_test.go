package vault_test

import (
	"bytes"
	"testing"
	"time"

	"outlink/domain"
	"outlink/internal/eventlog"
	"outlink/internal/vault"
)

func (w *world) eventKeys() *vault.EventKeys { return vault.NewEventKeys(w.kek, w.keys, "outlink") }

func (w *world) ring(k *vault.EventKeys) []eventlog.Key {
	w.Helper()
	all, err := k.Keys(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// The first key says what was written before it; a repeat changes nothing, and
// all nodes get the same keys, with the key encryption key asked once.
func TestEventKeys(t *testing.T) {
	w := open(t)
	if _, err := w.eventKeys().Keys(t.Context()); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("before there is a key: %v", err)
	}
	for _, head := range []uint64{7, 99} {
		if err := w.eventKeys().Create(t.Context(), head); err != nil {
			t.Fatal(err)
		}
	}
	keys := w.eventKeys()
	first, uses := w.ring(keys), w.kek.uses.Load()
	if len(first) != 1 || first[0].Since != 7 || first[0].Until != 0 || len(first[0].Secret.Reveal()) < 32 {
		t.Errorf("the first key is since %d until %d, one of %d", first[0].Since, first[0].Until, len(first))
	}
	w.kek.gone = true
	if again := w.ring(keys); !again[0].Secret.Equal(first[0].Secret) || w.kek.uses.Load() != uses {
		t.Error("what has not changed was unwrapped again")
	}
	if _, err := w.eventKeys().Keys(t.Context()); domain.CodeOf(err) != domain.Unavailable {
		t.Errorf("without the key service: %v", err)
	}
	w.kek.gone = false
	entry, err := w.keys.Get(t.Context(), "namespace.mac")
	if err != nil || bytes.Contains(entry.Value(), []byte(first[0].Secret.Reveal())) || bytes.Contains(entry.Value(), []byte("since")) {
		t.Errorf("the entry shows what it holds: %v", err)
	}
	if _, err := vault.NewEventKeys(w.kek, w.keys, "other").Keys(t.Context()); err == nil {
		t.Error("the entry opens in another namespace")
	}
}

// A new key leaves the old one in force until that is retired, which has to wait
// until no node writes with it.
func TestRotateEventKeys(t *testing.T) {
	w := open(t)
	keys := w.eventKeys()
	if err := keys.Create(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	first := w.ring(keys)[0]
	id, err := keys.Rotate(t.Context(), 40)
	if err != nil {
		t.Fatal(err)
	}
	all := w.ring(w.eventKeys())
	if len(all) != 2 || all[0].ID != first.ID || all[0].Until != 0 || all[1].ID != id || all[1].Since != 40 || all[1].Secret.Equal(first.Secret) {
		t.Errorf("rotated to %d keys, the first until %d, the second since %d", len(all), all[0].Until, all[1].Since)
	}
	if _, err := keys.Retire(t.Context(), 50, time.Now()); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("retired at once: %v", err)
	}
	for _, want := range []int{1, 0} {
		if ids, err := keys.Retire(t.Context(), 50, time.Now().Add(vault.Settled)); err != nil || len(ids) != want {
			t.Errorf("retired %v, %v; want %d", ids, err, want)
		}
	}
	if all := w.ring(w.eventKeys()); all[0].Until != 50 || all[1].Until != 0 {
		t.Errorf("the first is until %d, the second until %d", all[0].Until, all[1].Until)
	}
}
