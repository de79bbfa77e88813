package microapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"outlink/domain"
	"outlink/internal/bus"
)

// Registrations are the public curve keys of readers, as operators look after them.
type Registrations struct{ KV jetstream.KeyValue }

// Registered is a reader's key.
type Registered struct {
	Name        string    `json:"name"`
	CurveKey    string    `json:"curve_key"` // public
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"registered_at"`
}

// Fingerprint is what two people compare instead of a key.
func Fingerprint(public string) string {
	sum := sha256.Sum256([]byte(public))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// readerNames are those of callers: the name in their inbox prefix, or of their account.
var readerNames = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Check reports a name that no reader has, or a key that nothing can be sealed to.
func (Registrations) Check(name, public string) error {
	if !readerNames.MatchString(name) {
		return domain.Errorf(domain.InvalidArgument, "%q is no reader's name: use the name of its user, or of its account, up to 64 letters, digits, dashes and underscores", name)
	}
	if strings.HasPrefix(public, "SX") {
		return domain.Errorf(domain.InvalidArgument, `that is the seed; give the public key, which begins with "X", and make a new pair, for this seed is in the command line's history now`)
	}
	if !nkeys.IsValidPublicCurveKey(public) {
		return domain.Errorf(domain.InvalidArgument, `%q is no public curve key, which begins with "X"; make one: outlink reader register %s --generate`, public, name)
	}
	return nil
}

// Find returns a reader's key, or nil.
func (r Registrations) Find(ctx context.Context, name string) (*Registered, error) {
	e, err := r.KV.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up reader %s: %w", name, err)
	}
	found := registered(e)
	return &found, nil
}

func registered(e jetstream.KeyValueEntry) Registered {
	key := string(e.Value())
	return Registered{Name: e.Key(), CurveKey: key, Fingerprint: Fingerprint(key), At: e.Created().UTC()}
}

// Register has all replies to a reader sealed to its key from now on. Another key
// of the same reader is replaced only on purpose: who has its seed gets nothing
// that it can read any more.
func (r Registrations) Register(ctx context.Context, name, public string, replace bool) (Registered, error) {
	if err := r.Check(name, public); err != nil {
		return Registered{}, err
	}
	err := bus.Create(ctx, r.KV, name, []byte(public))
	if errors.Is(err, jetstream.ErrKeyExists) {
		before, findErr := r.Find(ctx, name)
		switch {
		case findErr != nil:
			return Registered{}, findErr
		case before != nil && before.CurveKey == public:
			return *before, nil
		case !replace && before != nil:
			return Registered{}, Taken(*before)
		}
		_, err = r.KV.Put(ctx, name, []byte(public))
	}
	if err != nil {
		return Registered{}, fmt.Errorf("register reader %s: %w", name, err)
	}
	now, err := r.Find(ctx, name)
	if err == nil && now == nil {
		err = domain.Errorf(domain.Conflict, "reader %s was removed meanwhile", name)
	}
	if err != nil {
		return Registered{}, err
	}
	return *now, nil
}

// Taken refuses to replace a key.
func Taken(r Registered) error {
	return domain.Errorf(domain.AlreadyExists, "reader %s has a key already, %s; to replace it, give --replace", r.Name, r.Fingerprint)
}

// List returns all readers by name.
func (r Registrations) List(ctx context.Context) ([]Registered, error) {
	watcher, err := r.KV.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list readers: %w", err)
	}
	defer func() { _ = watcher.Stop() }()
	all := []Registered{}
	for {
		select {
		case e, ok := <-watcher.Updates():
			if !ok || e == nil { // that is all there is
				slices.SortFunc(all, func(a, b Registered) int { return strings.Compare(a.Name, b.Name) })
				return all, nil
			}
			all = append(all, registered(e))
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Remove has replies to a reader go in clear again.
func (r Registrations) Remove(ctx context.Context, name string) error {
	before, err := r.Find(ctx, name)
	switch {
	case err != nil:
		return err
	case before == nil:
		return domain.Errorf(domain.NotFound, "no reader %q is registered; see: outlink reader ls", name)
	}
	if err := r.KV.Delete(ctx, name); err != nil {
		return fmt.Errorf("remove reader %s: %w", name, err)
	}
	return nil
}
