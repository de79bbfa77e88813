package vault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// A node that has used a key opens nothing with it once another node has shredded it.
func TestShreddedElsewhere(t *testing.T) {
	w := open(t)
	w.store(key, credential(1), 0)
	name := "grant." + key.Link.String() + "." + key.Grant.String()
	entry, err := w.boxes.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.again().Shred(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := w.boxes.Put(t.Context(), name, entry.Value()); err != nil { // from a backup
		t.Fatal(err)
	}
	if _, _, err := w.Credential(t.Context(), key); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("opened: %v", err)
	}
}

// What a shredding began with is gone after it, and what was made since stays.
func TestDoomed(t *testing.T) {
	w := open(t)
	w.store(key, credential(1), 0)
	late, err := w.again().Doomed(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Shred(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if c, _, err := w.Credential(t.Context(), key); err != nil || !c.RefreshToken.IsZero() {
		t.Errorf("shredded, and there is a credential: %v", err)
	}
	w.store(key, credential(2), 0)
	if gone, err := late(t.Context()); gone || err != nil {
		t.Fatal(gone, err)
	}
	if c, _, err := w.again().Credential(t.Context(), key); err != nil || c.Issued.Generation != 2 {
		t.Errorf("what was authorized anew is at generation %d, %v", c.Issued.Generation, err)
	}
}

// Nothing but a new beginning makes a key that was shredded.
func TestShreddedStaysSo(t *testing.T) {
	w, other := open(t), domain.Key{Link: uuid.New()}
	w.store(key, credential(1), 0)
	if err := w.StoreClientSecret(t.Context(), key.Link, 1, domain.NewSecret("first")); err != nil {
		t.Fatal(err)
	}
	for _, k := range []domain.Key{key, {Link: key.Link}, other} { // the last one never had a secret
		if err := w.again().Shred(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{
		"a credential":           w.StoreCredential(t.Context(), key, credential(2), 0),
		"a first client secret":  w.StoreClientSecret(t.Context(), key.Link, 1, domain.NewSecret("again")),
		"the next client secret": w.StoreClientSecret(t.Context(), key.Link, 2, domain.NewSecret("next")),
		"another link's":         w.StoreClientSecret(t.Context(), other.Link, 1, domain.NewSecret("late")),
	} {
		if domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("%s after it was shredded: %v", what, err)
		}
	}
	if _, err := w.Derive(t.Context(), key, "test", key.Grant); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("derived: %v", err)
	}
	w.store(key, credential(2), 0) // begun anew
}

// A credential that was stored just when its key was shredded keeps no later one from
// being stored.
func TestStoredBesideShredding(t *testing.T) {
	w := open(t)
	w.makeKey(key)
	w.kek.then = func() {
		if err := w.again().Shred(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if err := w.StoreCredential(t.Context(), key, credential(1), 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond) // the server's clock tells what was first
	w.makeKey(key)
	c, there, err := w.Credential(t.Context(), key)
	if err != nil || !c.RefreshToken.IsZero() || there == 0 {
		t.Fatalf("at revision %d there is a token: %t, %v", there, !c.RefreshToken.IsZero(), err)
	}
	w.store(key, credential(2), there)
}

// A log moved here without its secrets: its links take new ones.
func TestSecretOfALinkWithoutKey(t *testing.T) {
	w, link := open(t), uuid.New()
	if _, err := w.ClientSecret(t.Context(), link, 6); domain.CodeOf(err) != domain.FailedPrecondition || !strings.Contains(err.Error(), "replace-secret") {
		t.Errorf("a secret that is not there: %v", err)
	}
	if err := w.StoreClientSecret(t.Context(), link, 7, domain.NewSecret("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := w.again().ClientSecret(t.Context(), link, 7); err != nil || got.Reveal() != "new" {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
}

// A client secret that another command has just kept for the next generation is not
// replaced: it may be the link's by now.
func TestNextSecretOfAnother(t *testing.T) {
	w, link := open(t), uuid.New()
	keep := func(generation uint64, secret string) error {
		return w.StoreClientSecret(t.Context(), link, generation, domain.NewSecret(secret))
	}
	if err := errors.Join(keep(1, "first"), keep(2, "accepted")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := keep(2, "accepted"); err != nil {
			t.Errorf("the same again: %v", err)
		}
		if err := keep(2, "refused"); domain.CodeOf(err) != domain.Unavailable {
			t.Errorf("another one: %v", err)
		}
	}
	if got, err := w.ClientSecret(t.Context(), link, 2); err != nil || got.Reveal() != "accepted" {
		t.Errorf("kept: %q, %v", got.Reveal(), err)
	}
	w.Now = func() time.Time { return time.Now().Add(time.Hour) } // the other command ended before the link's event
	if err := keep(2, "later"); err != nil {
		t.Errorf("much later: %v", err)
	}
	if got, err := w.ClientSecret(t.Context(), link, 2); err != nil || got.Reveal() != "later" {
		t.Errorf("kept: %q, %v", got.Reveal(), err)
	}
}

// A credential that is written late, under a key that was shredded and replaced
// meanwhile, is none, and keeps no later one from being stored.
func TestStoredBesideANewKey(t *testing.T) {
	w := open(t)
	w.makeKey(key)
	w.kek.then = func() {
		other := w.again()
		if err := other.Shred(t.Context(), key); err != nil {
			t.Error(err)
		}
		if _, err := other.MakeKey(t.Context(), key, true); err != nil {
			t.Error(err)
		}
	}
	if err := w.StoreCredential(t.Context(), key, credential(1), 0); err != nil {
		t.Fatal(err)
	}
	c, there, err := w.again().Credential(t.Context(), key)
	if err != nil || !c.RefreshToken.IsZero() || there == 0 {
		t.Fatalf("at revision %d there is a token: %t, %v", there, !c.RefreshToken.IsZero(), err)
	}
	w.store(key, credential(2), there)
}

// Who begins after an erasure with a key that is there stays readable: whoever still
// erases what was before has seen that key.
func TestKeyAfterAnErasure(t *testing.T) {
	w := open(t)
	w.makeKey(key)
	shred, err := w.Doomed(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if made, err := w.MakeKey(t.Context(), key, true); made || err != nil {
		t.Fatalf("made %t, %v", made, err)
	}
	w.store(key, credential(1), 0)
	if gone, err := shred(t.Context()); gone || err != nil {
		t.Errorf("shredded %t, %v", gone, err)
	}
	if c, _, err := w.Credential(t.Context(), key); err != nil || c.RefreshToken.IsZero() {
		t.Error("the token is gone:", err)
	}
}
