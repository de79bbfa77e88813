package refresh_test

import (
	"net/http"
	"testing"
	"time"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/workers/pace"
)

// serving lets everything through and says whether the link's other grants are
// served.
type serving struct {
	open
	others bool
}

func (s serving) Works(pace.Request, time.Time) bool { return s.others }

// What one grant suffers again and again degrades its link only while no other
// grant of the link is served.
func TestOneGrantsTroubleIsItsOwn(t *testing.T) {
	for others, want := range map[bool]link.Status{true: link.StatusActive, false: link.StatusDegraded} {
		w := newWorld(t, 1, 1)
		w.workers[0].Gates = serving{others: others}
		w.op.answer = func(rw http.ResponseWriter) bool { rw.WriteHeader(http.StatusInternalServerError); return true }
		ahead := time.Duration(0)
		w.svc.Now = func() time.Time { return time.Now().Add(ahead) }
		for range 5 {
			if err := w.workers[0].Handle(t.Context(), w.grants[0]); err != nil {
				t.Fatal(err)
			}
			ahead += 10 * time.Minute
		}
		l, err := w.svc.Links.Load(t.Context(), domain.Key{Link: w.link})
		if err != nil || l.State.Status() != want {
			t.Errorf("the link is %s (%v), want %s when others are served: %t", l.State.Status(), err, want, others)
		}
	}
}
