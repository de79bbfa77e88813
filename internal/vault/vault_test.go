package vault_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/bus"
	"outlink/internal/natsd"
	"outlink/internal/vault"
)

// service is a key encryption key that can go away, and counts its uses.
type service struct {
	vault.Wrapper
	gone bool
	then func() // happens after the next key is unwrapped
	uses atomic.Int64
}

func (s *service) Encrypt(plain, data []byte) ([]byte, error) {
	if s.gone {
		return nil, errors.New("the key service does not answer")
	}
	return s.Wrapper.Encrypt(plain, data)
}

func (s *service) Decrypt(box, data []byte) ([]byte, error) {
	s.uses.Add(1)
	if s.gone {
		return nil, errors.New("the key service does not answer")
	}
	plain, err := s.Wrapper.Decrypt(box, data)
	if then := s.then; then != nil {
		s.then = nil
		then()
	}
	return plain, err
}

type world struct {
	*testing.T
	kek         *service
	keys, boxes jetstream.KeyValue
	*vault.Vault
}

func open(t *testing.T) *world {
	t.Helper()
	server, err := natsd.Start(t.TempDir(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ns := bus.DefaultNamespace
	if err := bus.Declare(t.Context(), js, ns, 1); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, kek: &service{Wrapper: kek(t)}}
	if w.keys, err = js.KeyValue(t.Context(), ns.Keys()); err != nil {
		t.Fatal(err)
	}
	if w.boxes, err = js.KeyValue(t.Context(), ns.Vault()); err != nil {
		t.Fatal(err)
	}
	w.Vault = w.again()
	return w
}

// again is the vault as a node that has just started opens it.
func (w *world) again() *vault.Vault {
	w.Helper()
	v, err := vault.Open(w.Context(), w.kek, w.keys, w.boxes, "outlink")
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func kek(t *testing.T) vault.Wrapper {
	t.Helper()
	k, err := vault.OpenKEKFile(filepath.Join(t.TempDir(), "kek.json"), true)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var key = domain.Key{Link: uuid.New(), Grant: uuid.New()}

func credential(generation uint64) commands.Credential {
	return commands.Credential{
		Issued:      grant.TokenIssued{Generation: generation, Exchange: uuid.New()},
		AccessToken: domain.NewSecret("canary-access"), RefreshToken: domain.NewSecret("canary-refresh"), Fallback: domain.NewSecret("canary-fallback"),
	}
}

func (w *world) makeKey(key domain.Key) {
	w.Helper()
	if _, err := w.MakeKey(w.Context(), key, false); err != nil {
		w.Fatal(err)
	}
}

func (w *world) store(key domain.Key, c commands.Credential, after uint64) uint64 {
	w.Helper()
	w.makeKey(key)
	if err := w.StoreCredential(w.Context(), key, c, after); err != nil {
		w.Fatal(err)
	}
	_, revision, err := w.Credential(w.Context(), key)
	if err != nil {
		w.Fatal(err)
	}
	return revision
}

// What was stored comes back, for a node that has just started too, and nothing
// of it stands in the buckets.
func TestCredential(t *testing.T) {
	w := open(t)
	w.store(key, credential(1), 0)
	got, _, err := w.again().Credential(t.Context(), key)
	if err != nil || got.AccessToken.Reveal() != "canary-access" || got.RefreshToken.Reveal() != "canary-refresh" || got.Fallback.Reveal() != "canary-fallback" || got.Issued.Generation != 1 {
		t.Errorf("read generation %d, %v", got.Issued.Generation, err)
	}
	for _, bucket := range []jetstream.KeyValue{w.keys, w.boxes} {
		names, err := bucket.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			entry, err := bucket.Get(t.Context(), name)
			if err != nil || bytes.Contains(entry.Value(), []byte("canary")) {
				t.Errorf("%s holds a secret in clear (%v)", name, err)
			}
		}
	}
	if none, revision, err := w.Credential(t.Context(), domain.Key{Link: uuid.New(), Grant: uuid.New()}); err != nil || revision != 0 || none.Issued.Generation != 0 {
		t.Errorf("a grant without credential: revision %d, %v", revision, err)
	}
}

// Of two writers one is overtaken, and knows it.
func TestOvertaken(t *testing.T) {
	w := open(t)
	first := w.store(key, credential(1), 0)
	if err := w.StoreCredential(t.Context(), key, credential(1), 0); !errors.Is(err, commands.ErrOvertaken) {
		t.Errorf("a second first one: %v", err)
	}
	w.store(key, credential(2), first)
	if err := w.StoreCredential(t.Context(), key, credential(2), first); !errors.Is(err, commands.ErrOvertaken) {
		t.Errorf("a second second one: %v", err)
	}
}

// A box that was moved to another grant, field or generation, or changed by a
// bit, does not open.
func TestBoxesDoNotMove(t *testing.T) {
	for name, move := range map[string]func(value string) (string, domain.Key){
		"to another grant": func(v string) (string, domain.Key) { return v, domain.Key{Link: key.Link, Grant: uuid.New()} },
		"to another link":  func(v string) (string, domain.Key) { return v, domain.Key{Link: uuid.New(), Grant: key.Grant} },
		"to another generation": func(v string) (string, domain.Key) {
			return strings.Replace(v, `"generation":1`, `"generation":2`, 1), key
		},
		"to another field": func(v string) (string, domain.Key) {
			return strings.NewReplacer(`"access_token":`, `"refresh_token":`, `"refresh_token":`, `"access_token":`).Replace(v), key
		},
		"a bit": func(v string) (string, domain.Key) {
			at := strings.Index(v, `"access_token":"`) + len(`"access_token":"`)
			return v[:at] + string(v[at]^1) + v[at+1:], key
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.store(key, credential(1), 0)
			entry, err := w.boxes.Get(t.Context(), "grant."+key.Link.String()+"."+key.Grant.String())
			if err != nil {
				t.Fatal(err)
			}
			value, to := move(string(entry.Value()))
			if to != key { // with a key of its own
				w.store(to, credential(1), 0)
			}
			if _, err := w.boxes.PutString(t.Context(), "grant."+to.Link.String()+"."+to.Grant.String(), value); err != nil {
				t.Fatal(err)
			}
			c, _, err := w.Credential(t.Context(), to)
			none := to != key && c.Issued.Generation == 0 && c.RefreshToken.IsZero() && c.AccessToken.IsZero() // one of another key counts as none
			if err == nil && !none || err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("opened %+v: %v", c, err)
			}
		})
	}
}

// A shredded key takes with it what it sealed, for nodes that had it in memory
// too; what is stored afterwards has a new one.
func TestShred(t *testing.T) {
	w := open(t)
	w.store(key, credential(1), 0)
	seal, err := w.AnswerSealer(t.Context(), key, key.Link)
	if err != nil {
		t.Fatal(err)
	}
	box := seal([]byte("canary-answer"))
	entry, err := w.boxes.Get(t.Context(), "grant."+key.Link.String()+"."+key.Grant.String())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is safe to repeat
		if err := w.again().Shred(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.again().OpenAnswer(t.Context(), key, key.Link, box); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("an answer that was sealed before: %v", err)
	}
	if c, revision, err := w.again().Credential(t.Context(), key); err != nil || !c.RefreshToken.IsZero() || revision != 0 {
		t.Errorf("a credential is there: revision %d, %v", revision, err)
	}
	if _, err := w.boxes.Put(t.Context(), "grant."+key.Link.String()+"."+key.Grant.String(), entry.Value()); err != nil { // from a backup
		t.Fatal(err)
	}
	if _, _, err := w.again().Credential(t.Context(), key); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("a credential from a backup: %v", err)
	}
}

// Another key encryption key opens nothing, and says so at the start.
func TestOtherKEK(t *testing.T) {
	w := open(t)
	if _, err := vault.Open(t.Context(), kek(t), w.keys, w.boxes, "outlink"); err == nil || !strings.Contains(err.Error(), "give the one that it was set up with") {
		t.Errorf("opened with another key: %v", err)
	}
	if _, err := vault.Open(t.Context(), w.kek, w.keys, w.boxes, "another"); err == nil {
		t.Error("opened as another namespace")
	}
}

// While the key service is away, what was read before can be read, an answer can
// be sealed that was made ready for, and nothing new is begun.
func TestKeyServiceAway(t *testing.T) {
	w := open(t)
	first := w.store(key, credential(1), 0)
	seal, err := w.AnswerSealer(t.Context(), key, key.Grant)
	if err != nil {
		t.Fatal(err)
	}
	w.kek.gone = true
	if c, _, err := w.Credential(t.Context(), key); err != nil || c.AccessToken.Reveal() != "canary-access" {
		t.Errorf("a token that is in use: %v", err)
	}
	if err := w.StoreCredential(t.Context(), key, credential(2), first); err != nil {
		t.Errorf("an answer that was asked for before cannot be stored: %v", err)
	}
	box := seal([]byte("answer"))
	if _, err := w.AnswerSealer(t.Context(), key, key.Grant); err == nil {
		t.Error("a refresh could begin")
	}
	w.kek.gone = false
	if plain, err := w.OpenAnswer(t.Context(), key, key.Grant, box); err != nil || string(plain) != "answer" {
		t.Errorf("the answer reads %q, %v", plain, err)
	}
	if _, err := w.OpenAnswer(t.Context(), key, uuid.New(), box); err == nil {
		t.Error("the answer opens for another attempt")
	}
}

// The secret of a link's generation, and the one before, are kept.
func TestClientSecret(t *testing.T) {
	w, link := open(t), uuid.New()
	for generation, secret := range []string{"", "canary-1", "canary-2", "canary-3"} {
		if generation == 0 {
			continue
		}
		if err := w.StoreClientSecret(t.Context(), link, uint64(generation), domain.NewSecret(secret)); err != nil {
			t.Fatal(err)
		}
	}
	for generation, want := range []string{"", "", "canary-2", "canary-3"} {
		got, err := w.again().ClientSecret(t.Context(), link, uint64(generation))
		if (err != nil) != (generation == 1) || got.Reveal() != want {
			t.Errorf("generation %d: %v", generation, err)
		}
	}
}

// What a caller sealed to the namespace opens; what was sealed for somebody
// else, or changed, is refused.
func TestUnseal(t *testing.T) {
	w := open(t)
	sender, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := sender.PublicKey()
	box, err := sender.Seal([]byte("canary"), w.CurveKey())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := w.again().Unseal(domain.Sealed{From: public, Ciphertext: box}); err != nil || s.Reveal() != "canary" {
		t.Errorf("a node that started later: %v", err)
	}
	box[len(box)-1] ^= 1
	if _, err := w.Unseal(domain.Sealed{From: public, Ciphertext: box}); domain.CodeOf(err) != domain.InvalidArgument {
		t.Errorf("changed: %v", err)
	}
}

// The key file is made once, for its owner alone.
func TestKEKFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "kek.json")
	if _, err := vault.OpenKEKFile(path, false); err == nil {
		t.Error("opened a file that is not there")
	}
	first, err := vault.OpenKEKFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	box, err := first.Encrypt([]byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := vault.OpenKEKFile(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := again.Decrypt(box, nil); err != nil || string(plain) != "x" {
		t.Errorf("made anew: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.OpenKEKFile(path, true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
}
