package erasure

import (
	"errors"
	"maps"
	"sync"
	"time"

	"outlink/domain"
)

// patience is how long an erasure waits for the vault, the key service or the log, to
// have the provider revoke the token. After that the key goes all the same.
const patience = 10 * time.Minute

// waits reports whether an erasure that found something away is tried again. Its
// patience begins with its first try: no worker may have run before, or been busy.
func (w *Worker) waits(key domain.Key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.Commands.Now()
	maps.DeleteFunc(w.since, func(_ domain.Key, since time.Time) bool { return now.Sub(since) > 2*patience }) // another node's by now
	since, known := w.since[key]
	if !known {
		if w.since == nil {
			w.since = map[domain.Key]time.Time{}
		}
		w.since[key], since = now, now
	}
	return now.Sub(since) < patience
}

func (w *Worker) waited(key domain.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.since, key)
}

// failures are those of several grants. Of what is away and what cannot be decoded the
// former counts: it passes, and then the latter is said.
type failures struct {
	mu                sync.Mutex
	away, undecodable []error
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case errors.Is(err, domain.ErrUndecodable):
		f.undecodable = append(f.undecodable, err)
	case err != nil:
		f.away = append(f.away, err)
	}
}

func (f *failures) many() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.away) >= parallel
}

func (f *failures) err() error {
	if len(f.away) > 0 {
		return errors.Join(f.away...)
	}
	return errors.Join(f.undecodable...)
}
