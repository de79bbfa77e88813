package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
)

func keyEntry(link uuid.UUID) string { return "link." + link.String() }
func boxEntry(link uuid.UUID) string { return "link." + link.String() + ".1" }

// value is what a bucket has under a name; nil when there is nothing.
func (w *world) value(bucket jetstream.KeyValue, name string) []byte {
	w.Helper()
	entry, err := bucket.Get(w.Context(), name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	return entry.Value()
}

func (w *world) keep(link uuid.UUID, generation uint64, secret string) {
	w.Helper()
	if err := w.StoreClientSecret(w.Context(), link, generation, domain.NewSecret(secret)); err != nil {
		w.Fatal(err)
	}
}

// opens checks what a node that has just started reads; "" is nothing.
func (w *world) opens(link uuid.UUID, generation uint64, want string) {
	w.Helper()
	got, err := w.again().ClientSecret(w.Context(), link, generation)
	if got.Reveal() != want || (err == nil) != (want != "") {
		w.Errorf("generation %d is %q and not %q: %v", generation, got.Reveal(), want, err)
	}
}

// apart has a link's first client secret as it was kept before: in a box, with the
// bare key in the key's entry.
func (w *world) apart(link uuid.UUID, secret string) (bare, box []byte) {
	w.Helper()
	w.keep(link, 1, secret)
	var both struct {
		Key []byte `json:"key"`
		Box []byte `json:"client_secret"`
	}
	if err := json.Unmarshal(w.value(w.keys, keyEntry(link)), &both); err != nil {
		w.Fatal(err)
	}
	_, keyErr := w.keys.Put(w.Context(), keyEntry(link), both.Key)
	_, boxErr := w.boxes.Put(w.Context(), boxEntry(link), both.Box)
	if err := errors.Join(keyErr, boxErr); err != nil {
		w.Fatal(err)
	}
	return both.Key, both.Box
}

// The first client secret is sealed in the entry of the link's key and nowhere
// else, and is gone with the key.
func TestFirstClientSecretIsBesideItsKey(t *testing.T) {
	w, link := open(t), uuid.New()
	w.keep(link, 1, "canary")
	w.opens(link, 1, "canary")
	kept := w.value(w.keys, keyEntry(link))
	if w.value(w.boxes, boxEntry(link)) != nil || len(kept) == 0 || bytes.Contains(kept, []byte("canary")) {
		t.Errorf("kept as %q", kept)
	}
	if err := w.Shred(t.Context(), domain.Key{Link: link}); err != nil {
		t.Fatal(err)
	}
	w.opens(link, 1, "")
	if history, err := w.keys.History(t.Context(), keyEntry(link)); err != nil || len(history) != 1 || len(history[0].Value()) != 0 {
		t.Errorf("%d entries are left of a shredded key, %v", len(history), err)
	}
}

// A secret that was kept before in a box of its own is read, replaced twice and
// shredded as it was.
func TestFirstClientSecretInABox(t *testing.T) {
	w, link := open(t), uuid.New()
	w.apart(link, "canary")
	w.opens(link, 1, "canary")
	w.keep(link, 2, "canary-2")
	w.opens(link, 1, "canary")
	w.keep(link, 3, "canary-3")
	w.opens(link, 1, "")
	w.opens(link, 2, "canary-2")

	other := uuid.New()
	_, box := w.apart(other, "canary")
	if err := w.Shred(t.Context(), domain.Key{Link: other}); err != nil {
		t.Fatal(err)
	}
	w.opens(other, 1, "")
	if _, err := w.boxes.Put(t.Context(), boxEntry(other), box); err != nil { // from a backup
		t.Fatal(err)
	}
	if _, err := w.again().ClientSecret(t.Context(), other, 1); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("the box of a shredded key: %v", err)
	}
}

// The third generation leaves the key and takes the first secret.
func TestFirstClientSecretIsReplaced(t *testing.T) {
	w, link := open(t), uuid.New()
	for generation := range uint64(3) {
		w.keep(link, generation+1, fmt.Sprint("canary-", generation+1))
		w.opens(link, 1, []string{"canary-1", "canary-1", ""}[generation])
	}
	w.opens(link, 2, "canary-2")
	w.opens(link, 3, "canary-3")
	if kept := w.value(w.keys, keyEntry(link)); json.Valid(kept) {
		t.Errorf("beside the key there is still %s", kept)
	}
}

// Whatever another process left behind, the first client secret opens once it is
// said to be kept.
func TestFirstClientSecretAfterAnother(t *testing.T) {
	w := open(t)
	w.Now = func() time.Time { return time.Now().Add(time.Hour) }
	for name, leave := range map[string]func(link uuid.UUID) error{
		"nothing": func(uuid.UUID) error { return nil },
		"a box without a key": func(link uuid.UUID) error {
			_, err := w.boxes.Put(t.Context(), boxEntry(link), []byte("sealed under a key that nobody has"))
			return err
		},
		"a key without a secret": func(link uuid.UUID) error {
			w.apart(link, "canary-other")
			return w.boxes.Purge(t.Context(), boxEntry(link))
		},
		"a key and the box of another one": func(link uuid.UUID) error {
			w.apart(link, "canary-other")
			_, err := w.boxes.Put(t.Context(), boxEntry(link), []byte("sealed under a key that nobody has"))
			return err
		},
		"the secret in a box": func(link uuid.UUID) error { w.apart(link, "canary"); return nil },
		"another in a box":    func(link uuid.UUID) error { w.apart(link, "canary-other"); return nil },
		"another":             func(link uuid.UUID) error { w.keep(link, 1, "canary-other"); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w, link := *w, uuid.New()
			w.T = t
			if err := leave(link); err != nil {
				t.Fatal(err)
			}
			w.keep(link, 1, "canary")
			w.opens(link, 1, "canary")
			w.keep(link, 2, "canary-2")
			w.keep(link, 3, "canary-3")
			w.opens(link, 1, "")
		})
	}
}

// A secret that may be a link's in a moment is not replaced, in either form.
func TestFirstClientSecretStays(t *testing.T) {
	w := open(t)
	for name, keep := range map[string]func(link uuid.UUID){
		"beside its key": func(link uuid.UUID) { w.keep(link, 1, "canary") },
		"in a box":       func(link uuid.UUID) { w.apart(link, "canary") },
	} {
		link := uuid.New()
		keep(link)
		if err := w.again().StoreClientSecret(t.Context(), link, 1, domain.NewSecret("canary-other")); domain.CodeOf(err) != domain.Unavailable {
			t.Errorf("%s: replaced with %v", name, err)
		}
		w.opens(link, 1, "canary")
	}
}

// Of nodes that keep first secrets of one link at once, each finds its own kept
// when it is told so, and who wants another one is told that it is not.
func TestFirstClientSecretAtOnce(t *testing.T) {
	w := open(t)
	for round := range 50 {
		link, start := uuid.New(), make(chan struct{})
		var mu sync.Mutex
		kept := map[string]bool{}
		var wg sync.WaitGroup
		for i := range 4 {
			v, secret := w.again(), fmt.Sprint("canary-", i%(1+round%2)) // the same ones, or two different
			wg.Go(func() {
				<-start
				err := v.StoreClientSecret(t.Context(), link, 1, domain.NewSecret(secret))
				if domain.CodeOf(err) == domain.Unavailable && round%2 == 1 {
					return
				}
				if got, readErr := v.ClientSecret(t.Context(), link, 1); err != nil || readErr != nil || got.Reveal() != secret {
					t.Errorf("the secret is %q and not %q once it is kept: %v, %v", got.Reveal(), secret, err, readErr)
				}
				mu.Lock()
				defer mu.Unlock()
				kept[secret] = true
			})
		}
		close(start)
		wg.Wait()
		if len(kept) != 1 {
			t.Fatalf("kept are %v", kept)
		}
		for secret := range kept {
			w.opens(link, 1, secret)
		}
	}
}

// A key that is shredded while its secret is replaced stays shredded.
func TestFirstClientSecretShreddedAtOnce(t *testing.T) {
	w := open(t)
	for range 30 {
		link := uuid.New()
		w.keep(link, 1, "canary-1")
		w.keep(link, 2, "canary-2")
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.again().StoreClientSecret(t.Context(), link, 3, domain.NewSecret("canary-3")) })
		wg.Go(func() {
			if err := w.again().Shred(t.Context(), domain.Key{Link: link}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		w.opens(link, 1, "")
		w.opens(link, 2, "")
	}
}
