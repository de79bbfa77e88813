package refresh_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain/answer"
	"outlink/workers/refresh"
)

// An answer of a grant whose vault and log are apart, as after the log was restored
// from an older export, stays in the journal and holds up no start.
func TestReplayOfAConflict(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.work.Wait() // its start
		n := s.nodes[0]
		raw, _ := json.Marshal(answer.Raw{Status: 200, ContentType: "application/json", Body: []byte(`{"access_token":"a","token_type":"bearer","expires_in":3600,"refresh_token":"r"}`)})
		kept, _ := json.Marshal(map[string]any{"key": s.key, "generation": s.state().Generation, "sealed": raw, "sent_at": time.Now()})
		s.mu.Lock()
		c := s.vault[s.key]
		c.Issued.Generation, c.Issued.Exchange = c.Issued.Generation+2, uuid.New()
		s.vault[s.key] = c
		s.mu.Unlock()
		n.disk[uuid.New()] = kept
		began := time.Now()
		if err := n.running().worker.Replay(s.Context()); err != nil || time.Since(began) > time.Minute || len(n.disk) != 1 {
			t.Errorf("after %s there are %d answers, and %v", time.Since(began), len(n.disk), err)
		}
	})
}

// noted is a journal after whose first note something else happens.
type noted struct {
	refresh.Journal
	then func()
}

func (n *noted) Note(id uuid.UUID, b []byte) error {
	err := n.Journal.Note(id, b)
	if then := n.then; then != nil {
		n.then = nil
		then()
	}
	return err
}

// The look at what the journal says was begun here comes between an attempt's note and
// its lease: the note of an attempt that somebody is at stays.
func TestResumeBesideANote(t *testing.T) {
	w := newWorld(t, 1, 1)
	n := w.workers[0]
	j, during := n.Journal, 0
	n.Journal = &noted{j, func() {
		n.Resume(t.Context())
		during = len(j.All())
	}}
	if err := n.Handle(t.Context(), w.grants[0]); err != nil {
		t.Fatal(err)
	}
	if during != 1 {
		t.Errorf("the journal knows of %d attempts", during)
	}
}
