package eventlog

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/internal/bus"
)

// A bucket with a group does what the library's own does, also in a crowd.
func TestBucket(t *testing.T) {
	s := newSite(t)
	plain, err := s.js.KeyValue(t.Context(), bus.DefaultNamespace.Keys())
	if err != nil {
		t.Fatal(err)
	}
	b := Bucket{KeyValue: plain, Group: NewGroup(s.js)}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			key := fmt.Sprint("k", i)
			created, err := b.Create(t.Context(), key, []byte("1"))
			if _, again := b.Create(t.Context(), key, []byte("2")); err != nil || !errors.Is(again, jetstream.ErrKeyExists) {
				t.Errorf("%s: created with %v, and again with %v", key, err, again)
			}
			if e, err := b.Get(t.Context(), key); err != nil || e.Revision() != created || string(e.Value()) != "1" {
				t.Errorf("%s: %v", key, err)
			}
			put, err := b.Put(t.Context(), key, []byte("3"))
			if e, getErr := b.Get(t.Context(), key); err != nil || getErr != nil || e.Revision() != put || string(e.Value()) != "3" {
				t.Errorf("%s: %v, %v", key, err, getErr)
			}
			if err := b.Purge(t.Context(), key); err != nil {
				t.Error(err)
			}
			if _, err := b.Create(t.Context(), key, []byte("4")); err != nil {
				t.Errorf("%s: created after it was purged: %v", key, err)
			}
		})
	}
	wg.Wait()
}
