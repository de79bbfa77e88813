package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/internal/bus"
)

// What is in the log and has not the form of an event is left out of what is printed,
// with a line that names its place, with and without the key. Whoever checks the log
// is told of it.
func TestJunkInTheLog(t *testing.T) {
	d := startDev(t, t.TempDir())
	nc, err := nats.Connect(d.at.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := js.Publish(t.Context(), bus.DefaultNamespace.LinkEvents(uuid.New()), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range [][]string{nil, {"--kek-file", filepath.Join(d.dir, "kek.json")}} {
		says := fmt.Sprintf("message %d of the log is left out", ack.Sequence)
		if key != nil {
			says = fmt.Sprintf("sequence=%d", ack.Sequence)
		}
		soon := time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339Nano)
		for _, line := range []string{"events ls", "events tail --follow=false", "events tail --after 0 --until " + soon, "events export", "link ls --at " + soon} {
			out, code := d.cli(append(strings.Fields(line), key...)...)
			if code != 0 || !strings.Contains(out, says) || strings.Contains(out, `"type":""`) {
				t.Errorf("outlink %s %v: exit %d\n%s", line, key, code, out)
			}
		}
		if out, code := d.cli(append([]string{"events", "verify"}, key...)...); code != 1 || !strings.Contains(out, "is no event") {
			t.Errorf("events verify %v: exit %d\n%s", key, code, out)
		}
	}
}
