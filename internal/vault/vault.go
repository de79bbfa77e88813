// Package vault keeps secrets in JetStream so that the streams alone give none
// of them away: a key encryption key (KEK) wraps one data key a link and a
// grant; data keys seal the fields. Purging a data key shreds what it sealed.
//
// Associated data binds every box to its purpose, namespace, link, grant, field
// and generation, so that a box cannot be moved. A secret leaves only as
// domain.Secret.
package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/bus"
)

// Wrapper is the key encryption key: a local file here, a KMS elsewhere.
type Wrapper interface {
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
}

// Vault seals and opens secrets.
type Vault struct {
	kek       Wrapper
	keys      jetstream.KeyValue
	boxes     jetstream.KeyValue
	namespace string
	curve     nkeys.KeyPair

	// Now is the clock by which a first client secret counts as abandoned.
	Now func() time.Time

	mu    sync.Mutex
	cache map[domain.Key]cachedKey // unwrapped data keys; bounded by maxCached
}

// maxCached bounds the data keys in memory: 32 bytes each and their map entry.
const maxCached = 100_000

// Open returns the vault of a namespace. The first to open it makes the
// namespace's curve key, to which callers seal the secrets in their commands.
func Open(ctx context.Context, kek Wrapper, keys, boxes jetstream.KeyValue, namespace string) (*Vault, error) {
	v := &Vault{kek: kek, keys: keys, boxes: boxes, namespace: namespace, Now: time.Now, cache: map[domain.Key]cachedKey{}}
	if err := v.openCurve(ctx); err != nil {
		return nil, fmt.Errorf("open the vault: %w", err)
	}
	return v, nil
}

// CurveKey is the public curve key ("X…") to which secrets in commands are sealed.
func (v *Vault) CurveKey() string {
	public, _ := v.curve.PublicKey() // cannot fail for a key that was made from a seed
	return public
}

const curveEntry = "namespace.curve"

func (v *Vault) openCurve(ctx context.Context) error {
	aad := v.aad("curve", domain.Key{}, "seed", 0)
	entry, err := v.keys.Get(ctx, curveEntry)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		pair, err := nkeys.CreateCurveKeys()
		if err != nil {
			return err
		}
		seed, err := pair.Seed()
		if err != nil {
			return err
		}
		wrapped, err := v.kek.Encrypt(seed, aad)
		if err != nil {
			return err
		}
		if err := bus.Create(ctx, v.keys, curveEntry, wrapped); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		entry, err = v.keys.Get(ctx, curveEntry)
		if err != nil {
			return err
		}
		return v.useCurve(entry.Value(), aad)
	}
	if err != nil {
		return err
	}
	return v.useCurve(entry.Value(), aad)
}

func (v *Vault) useCurve(wrapped, aad []byte) error {
	seed, err := v.kek.Decrypt(wrapped, aad)
	if err != nil {
		return errors.New("the key encryption key does not open this namespace's keys; give the one that it was set up with")
	}
	v.curve, err = nkeys.FromCurveSeed(seed)
	return err
}

// Unseal opens a secret that was sealed to the namespace's curve key.
func (v *Vault) Unseal(s domain.Sealed) (domain.Secret, error) {
	plain, err := v.curve.Open(s.Ciphertext, s.From)
	if err != nil {
		return domain.Secret{}, domain.Errorf(domain.InvalidArgument, "the sealed secret does not open: seal it to the curve key of this namespace, %s", v.CurveKey())
	}
	return domain.NewSecret(string(plain)), nil
}

// Seal seals what only this namespace shall read, as a caller would.
func (v *Vault) Seal(plain []byte) (domain.Sealed, error) {
	box, err := v.curve.Seal(plain, v.CurveKey())
	if err != nil {
		return domain.Sealed{}, fmt.Errorf("seal to the namespace: %w", err)
	}
	return domain.Sealed{From: v.CurveKey(), Ciphertext: box}, nil
}

// keyEntry is where a data key is kept: "link.<link>" or "grant.<link>.<grant>".
func keyEntry(key domain.Key) string {
	if key.Grant == uuid.Nil {
		return "link." + key.Link.String()
	}
	return "grant." + key.Link.String() + "." + key.Grant.String()
}

// errNoKey says that a data key was shredded, or never made.
var errNoKey = domain.Errorf(domain.FailedPrecondition, "the key of this secret is shredded: it cannot be read again")

// cachedKey is a data key, and the revision that it had when it was unwrapped.
type cachedKey struct {
	dek      []byte
	revision uint64
}

// dataKey returns the data key of a link or grant as it is now. Another node may have
// shredded the key, so its revision is looked up each time. The key encryption
// key is asked for a key that is not in memory only: what was begun while it was
// there can be stored while it is away.
//
// A key that is not there is made by who begins something, and by nobody else: what
// was begun before its grant was shredded must not outlive that.
func (v *Vault) dataKey(ctx context.Context, key domain.Key) ([]byte, error) {
	dek, _, err := v.keySince(ctx, key)
	return dek, err
}

// keySince is dataKey, and since when it is wrapped as it is.
func (v *Vault) keySince(ctx context.Context, key domain.Key) (dek []byte, since time.Time, err error) {
	entry, err := v.keys.Get(ctx, keyEntry(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		v.Forget(key)
		return nil, since, errNoKey
	}
	if err != nil {
		return nil, since, unavailable("look up the key of "+key.String(), err)
	}
	dek, err = v.keyOf(key, entry)
	return dek, entry.Created(), err
}

// keyOf is the data key of an entry that was just read.
func (v *Vault) keyOf(key domain.Key, entry jetstream.KeyValueEntry) ([]byte, error) {
	v.mu.Lock()
	known, ok := v.cache[key]
	v.mu.Unlock()
	if ok && known.revision == entry.Revision() {
		return known.dek, nil
	}
	return v.unwrap(key, entry)
}

// unwrap opens a data key with the key encryption key, and remembers it.
func (v *Vault) unwrap(key domain.Key, entry jetstream.KeyValueEntry) ([]byte, error) {
	dek, err := v.kek.Decrypt(readKeyed(entry.Value()).Key, v.aad("dek", key, "", 0))
	if err != nil { // what exactly is wrong, the key service knows; its words may hold anything
		return nil, domain.Errorf(domain.Unavailable, "unwrap the key of %s: the key encryption key does not open it, or its service is away", key)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.cache) >= maxCached {
		clear(v.cache) // simple, and rare: the next use unwraps again
	}
	v.cache[key] = cachedKey{dek, entry.Revision()}
	return dek, nil
}

// newKey makes a data key, and wraps it.
func (v *Vault) newKey(key domain.Key) (dek, wrapped []byte, err error) {
	dek = make([]byte, 32)
	_, _ = rand.Read(dek) // never fails (Go 1.24)
	if wrapped, err = v.kek.Encrypt(dek, v.aad("dek", key, "", 0)); err != nil {
		return nil, nil, fmt.Errorf("wrap the key of %s: %w", key, err)
	}
	return dek, wrapped, nil
}

// MakeKey makes the data key of a grant that is begun, unless it is there, and reports
// whether it did. After an erasure a key that is there was made by a command that came
// too late: it is written once more, for whoever still erases has seen it.
func (v *Vault) MakeKey(ctx context.Context, grant domain.Key, erased bool) (made bool, err error) {
	entry, err := v.keys.Get(ctx, keyEntry(grant))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return v.createKey(ctx, grant)
	case err != nil:
		return false, unavailable("look up the key of "+grant.String(), err)
	case !erased: // whether it opens now is for who uses it
		return false, nil
	}
	_, err = v.keys.Update(ctx, keyEntry(grant), entry.Value(), entry.Revision())
	if bus.Settle(ctx, err) || bus.IsStale(err) { // somebody shredded it, or did just this
		return v.MakeKey(ctx, grant, erased)
	}
	if err != nil {
		return false, unavailable("keep the key of "+grant.String(), err)
	}
	return false, nil
}

func (v *Vault) createKey(ctx context.Context, grant domain.Key) (made bool, err error) {
	_, wrapped, err := v.newKey(grant)
	if err != nil {
		return false, err
	}
	err = bus.Create(ctx, v.keys, keyEntry(grant), wrapped)
	if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return false, unavailable("keep the key of "+grant.String(), err)
	}
	return err == nil, nil
}

// Forget drops a data key from memory, as when another node shredded it.
func (v *Vault) Forget(key domain.Key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.cache, key)
}

func (v *Vault) aad(purpose string, key domain.Key, field string, generation uint64) []byte {
	return associatedData(v.namespace, purpose, key, field, generation)
}

// associatedData of a box is length-prefixed, so that no two lists of values read
// the same.
func associatedData(namespace, purpose string, key domain.Key, field string, generation uint64) []byte {
	var b []byte
	for _, part := range []string{"outlink v1", purpose, namespace, key.Link.String(), key.Grant.String(), field} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return binary.BigEndian.AppendUint64(b, generation)
}

func subkey(dek []byte, purpose string) []byte {
	k, err := hkdf.Key(sha256.New, dek, nil, "outlink "+purpose, 32)
	if err != nil {
		panic(err) // only for lengths that SHA-256 cannot give
	}
	return k
}

func sealer(dek []byte) cipher.AEAD {
	block, err := aes.NewCipher(subkey(dek, "seal"))
	if err != nil {
		panic(err) // only for key sizes other than AES's
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (v *Vault) seal(dek []byte, key domain.Key, field string, generation uint64, s domain.Secret) []byte {
	if s.IsZero() {
		return nil
	}
	return sealer(dek).Seal(nil, nil, []byte(s.Reveal()), v.aad("box", key, field, generation))
}

func (v *Vault) open(dek []byte, key domain.Key, field string, generation uint64, box []byte) (domain.Secret, error) {
	if box == nil {
		return domain.Secret{}, nil
	}
	plain, err := sealer(dek).Open(nil, nil, box, v.aad("box", key, field, generation))
	if err != nil {
		return domain.Secret{}, fmt.Errorf("open the %s of %s, generation %d: the box was changed or moved", field, key, generation)
	}
	return domain.NewSecret(string(plain)), nil
}

// Derive returns 32 bytes that only this vault can compute, bound to the grant,
// the purpose and the id. Shredding the grant's data key ends them.
func (v *Vault) Derive(ctx context.Context, key domain.Key, purpose string, id uuid.UUID) ([]byte, error) {
	dek, err := v.dataKey(ctx, key)
	if err != nil {
		return nil, err
	}
	return subkey(dek, "derive "+string(v.aad(purpose, key, id.String(), 0))), nil
}

// sealedCredential is a credential as the bucket keeps it: the event in clear,
// the tokens sealed.
type sealedCredential struct {
	Key          []byte            `json:"key,omitempty"` // tells the data key that seals it from others; none: by an earlier version
	Issued       grant.TokenIssued `json:"issued"`
	AccessToken  []byte            `json:"access_token,omitempty"`
	RefreshToken []byte            `json:"refresh_token,omitempty"`
	Fallback     []byte            `json:"fallback,omitempty"`
}

// StoreCredential keeps a grant's newest credential after the given revision,
// or returns commands.ErrOvertaken.
func (v *Vault) StoreCredential(ctx context.Context, key domain.Key, c commands.Credential, after uint64) error {
	dek, err := v.dataKey(ctx, key)
	if err != nil {
		return err
	}
	generation := c.Issued.Generation
	value, err := json.Marshal(sealedCredential{
		Key:          fingerprint(dek),
		Issued:       c.Issued,
		AccessToken:  v.seal(dek, key, "access_token", generation, c.AccessToken),
		RefreshToken: v.seal(dek, key, "refresh_token", generation, c.RefreshToken),
		Fallback:     v.seal(dek, key, "fallback", generation, c.Fallback),
	})
	if err != nil {
		return fmt.Errorf("encode the credential of %s: %w", key, err)
	}
	if after == 0 {
		err = bus.Create(ctx, v.boxes, keyEntry(key), value)
	} else {
		_, err = v.boxes.Update(ctx, keyEntry(key), value, after)
	}
	return stored(ctx, "keep the credential of "+key.String(), err)
}

// stored says what became of a write that had to follow a revision:
// commands.ErrOvertaken when another one did. Whoever looks then, sees that one.
func stored(ctx context.Context, what string, err error) error {
	switch {
	case err == nil:
		return nil
	case bus.Settle(ctx, err), errors.Is(err, jetstream.ErrKeyExists), bus.IsStale(err):
		return commands.ErrOvertaken
	}
	return unavailable(what, err)
}

// fingerprint tells a data key from others, and nothing about it.
func fingerprint(dek []byte) []byte { return subkey(dek, "fingerprint of the key")[:8] }

// Credential returns a grant's newest credential and its revision, or zero. One that
// was stored just when its key was shredded is none any more: another takes its place.
func (v *Vault) Credential(ctx context.Context, key domain.Key) (commands.Credential, uint64, error) {
	entry, err := v.boxes.Get(ctx, keyEntry(key))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return commands.Credential{}, 0, nil
	}
	if err != nil {
		return commands.Credential{}, 0, unavailable("look up the credential of "+key.String(), err)
	}
	var s sealedCredential
	if err := json.Unmarshal(entry.Value(), &s); err != nil {
		return commands.Credential{}, 0, fmt.Errorf("decode the credential of %s: %w", key, err)
	}
	dek, since, err := v.keySince(ctx, key)
	if err != nil {
		return commands.Credential{}, entry.Revision(), err
	}
	c, err := v.openCredential(dek, key, s)
	switch {
	case s.Key != nil && !bytes.Equal(s.Key, fingerprint(dek)), s.Key == nil && err != nil && since.After(entry.Created()):
		return commands.Credential{}, entry.Revision(), nil
	case err != nil:
		return commands.Credential{}, entry.Revision(), err
	}
	return c, entry.Revision(), nil
}

func (v *Vault) openCredential(dek []byte, key domain.Key, s sealedCredential) (c commands.Credential, err error) {
	generation := s.Issued.Generation
	c.Issued = s.Issued
	if c.AccessToken, err = v.open(dek, key, "access_token", generation, s.AccessToken); err != nil {
		return c, err
	}
	if c.RefreshToken, err = v.open(dek, key, "refresh_token", generation, s.RefreshToken); err != nil {
		return c, err
	}
	c.Fallback, err = v.open(dek, key, "fallback", generation, s.Fallback)
	return c, err
}

func unavailable(what string, err error) error {
	return errors.Join(domain.Errorf(domain.Unavailable, "the vault does not answer; try again"), fmt.Errorf("%s: %w", what, err))
}
