package bus_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/internal/bus"
	"outlink/internal/testenv"
)

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
