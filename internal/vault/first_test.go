package vault_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"

	"outlink/domain"
)

// Whatever another process left behind or does at the same moment, the first
// client secret opens once it is said to be kept.
func TestFirstClientSecret(t *testing.T) {
	w := open(t)
	for name, leave := range map[string]func(link uuid.UUID) error{
		"a box without a key": func(link uuid.UUID) error {
			_, err := w.boxes.Put(t.Context(), "link."+link.String()+".1", []byte("sealed under a key that nobody has"))
			return err
		},
		"a key without a box": func(link uuid.UUID) error {
			if err := w.StoreClientSecret(t.Context(), link, 1, domain.NewSecret("canary-other")); err != nil {
				return err
			}
			return w.boxes.Purge(t.Context(), "link."+link.String()+".1")
		},
		"a shredded key": func(link uuid.UUID) error {
			if err := w.StoreClientSecret(t.Context(), link, 1, domain.NewSecret("canary-other")); err != nil {
				return err
			}
			return w.Shred(t.Context(), domain.Key{Link: link})
		},
	} {
		link := uuid.New()
		if err := leave(link); err != nil {
			t.Fatal(err)
		}
		if err := w.StoreClientSecret(t.Context(), link, 1, domain.NewSecret("canary")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := w.again().ClientSecret(t.Context(), link, 1); err != nil || got.Reveal() != "canary" {
			t.Errorf("%s: the secret does not open: %v", name, err)
		}
	}
}

// Of nodes that keep the same secret at once, each finds it kept when it is told so.
func TestFirstClientSecretAtOnce(t *testing.T) {
	w := open(t)
	for range 50 {
		link, start := uuid.New(), make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			v := w.again()
			wg.Go(func() {
				<-start
				if err := v.StoreClientSecret(t.Context(), link, 1, domain.NewSecret("canary")); err != nil {
					t.Error(err)
				}
				if got, err := v.ClientSecret(t.Context(), link, 1); err != nil || got.Reveal() != "canary" {
					t.Errorf("the secret does not open once it is kept: %v", err)
				}
			})
		}
		close(start)
		wg.Wait()
		if got, err := w.again().ClientSecret(t.Context(), link, 1); err != nil || got.Reveal() != "canary" {
			t.Fatalf("the secret does not open: %v", err)
		}
	}
}
