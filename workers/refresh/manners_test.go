package refresh_test

import (
	"net/http"
	"testing"
	"time"

	"outlink/domain/answer"
	"outlink/workers/pace"
)

// A provider that says when to come back is asked once, even where an ambiguous
// answer would be followed by another try at once.
func TestNoRetryAgainstTheProvidersWish(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.op.answer = func(rw http.ResponseWriter) bool {
		rw.Header().Set("Retry-After", "120")
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if err := w.workers[0].Handle(t.Context(), w.grants[0]); err != nil {
		t.Fatal(err)
	}
	if w.op.requests != 1 {
		t.Errorf("%d requests, want one", w.op.requests)
	}
}

// counting gates let some requests through and then nobody for a while.
type counting struct {
	room  int
	asked []pace.Request
	left  []answer.Class
}

func (c *counting) Enter(r pace.Request) (func(answer.Class, time.Duration), time.Duration) {
	c.asked = append(c.asked, r)
	if c.room--; c.room < 0 {
		return nil, 30 * time.Second
	}
	return func(class answer.Class, _ time.Duration) { c.left = append(c.left, class) }, 0
}

func (*counting) Suspicious(string) bool { return false }

// Each try within an attempt is asked for and told to the gate, and is not made
// when the gate is closed.
func TestTriesWithinAnAttemptKeepManners(t *testing.T) {
	for room, want := range map[int]int{1: 1, 9: 2} {
		w := newWorld(t, 1, 1)
		gates := &counting{room: room}
		w.workers[0].Gates = gates
		w.op.answer = func(rw http.ResponseWriter) bool { rw.WriteHeader(http.StatusServiceUnavailable); return true }
		if err := w.workers[0].Handle(t.Context(), w.grants[0]); err != nil {
			t.Fatal(err)
		}
		if w.op.requests != want || len(gates.asked) != 2 || len(gates.left) != want {
			t.Errorf("room for %d: %d requests, the gate was asked %d times and told %v", room, w.op.requests, len(gates.asked), gates.left)
		}
		if gates.asked[0].Ends.IsZero() && !w.state(w.grants[0]).Credential.ExpiresAt.IsZero() {
			t.Error("the gate is not told when the token ends")
		}
	}
}
