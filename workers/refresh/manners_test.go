package refresh_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/workers/pace"
	"outlink/workers/refresh"
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

func (*counting) Hold(pace.Request) time.Duration    { return 0 }
func (*counting) Works(pace.Request, time.Time) bool { return false }

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

// A provider that refuses everybody at once: nobody's consent is asked for, be
// the refusals of a kind that is believed at once or one that is asked again.
func TestMassRefusal(t *testing.T) {
	for kind, most := range map[provider.RotationKind]int{provider.Strict: 2, provider.Unknown: 0} {
		for _, code := range []string{"invalid_grant", "interaction_required"} {
			const grants = 40
			w := newWorld(t, 1, grants)
			w.svc.Catalogue = w.svc.Catalogue.With(declare(w.svc.Catalogue, provider.Rotation{Kind: kind}))
			told := 0
			w.workers[0].Gates = &pace.Gates{Doubted: func(pace.Doubt) { told++ }}
			w.op.answer = func(rw http.ResponseWriter) bool {
				rw.WriteHeader(http.StatusBadRequest)
				_, _ = rw.Write([]byte(`{"error":"` + code + `"}`))
				return true
			}
			ahead := time.Duration(0)
			w.svc.Now = func() time.Time { return time.Now().Add(ahead) }
			for round := 1; round <= 3; round++ {
				for i := 0; w.op.requests < round*(grants-2) && i < 200; i++ {
					for _, key := range w.grants {
						if err := w.workers[0].Handle(t.Context(), key); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(5 * time.Millisecond)
				}
				ahead += time.Hour
			}
			asked := 0
			for _, key := range w.grants {
				if w.state(key).Reauthorize != "" {
					asked++
				}
			}
			allowed := most
			if code == "interaction_required" { // it needs no second word
				allowed = 2
			}
			if asked > allowed || told != 1 || w.op.requests < 3*(grants-2) {
				t.Errorf("%s, %s: %d people are asked for consent after %d requests, and told %d times", kind, code, asked, w.op.requests, told)
			}
		}
	}
}

// A clock that is far off and a certificate that is not valid are logged once for
// a host, and the second stands in the grant's history.
func TestAlarms(t *testing.T) {
	for says, answers := range map[string]func(w *world){
		"apart": func(w *world) {
			w.op.answer = func(rw http.ResponseWriter) bool {
				rw.Header().Set("Date", time.Now().Add(5*time.Minute).UTC().Format(http.TimeFormat))
				rw.WriteHeader(http.StatusTooManyRequests)
				return true
			}
		},
		"certificate": func(w *world) {
			for _, worker := range w.workers {
				worker.Endpoint = blocked{worker.Endpoint}
			}
		},
	} {
		w := newWorld(t, 1, 3)
		var log bytes.Buffer
		w.workers[0].Log = slog.New(slog.NewTextHandler(&log, nil))
		answers(w)
		for _, key := range w.grants {
			if err := w.workers[0].Handle(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		alarms := 0
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, says) && !strings.Contains(line, "msg=refresh") {
				alarms++
			}
		}
		if alarms != 1 {
			t.Errorf("%d alarms of %q:\n%s", alarms, says, log.String())
		}
	}
}

type blocked struct{ refresh.TokenEndpoint }

func (blocked) Refresh(context.Context, provider.Registration, domain.Secret, func() error, func(answer.Raw) error) answer.Answer {
	return answer.Answer{Class: answer.NotSent, SentAt: time.Now(), Blocked: true, Problem: "the token endpoint's certificate is not valid"}
}

// A failed try says why in its own words, and whether the token ended a while ago.
func TestDeferredSaysWhy(t *testing.T) {
	onStrictServer(t, 1, func(s scene) {
		s.settles()
		for range 12 {
			time.Sleep(max(time.Second, time.Until(s.state().DueAt())))
			s.renew(0, onTheWire{What: "access_denied"})
		}
		time.Sleep(time.Until(s.state().Credential.ExpiresAt) + staleBy)
		s.renew(0, onTheWire{What: "access_denied"})
		var last grant.RefreshDeferred
		fresh := 0
		for _, e := range s.history() {
			if e, ok := e.(grant.RefreshDeferred); ok {
				last = e
				if !e.Stale {
					fresh++
				}
			}
		}
		if !last.Stale || fresh == 0 || last.Problem == "" {
			t.Errorf("the last failure is %+v; %d before were not stale", last, fresh)
		}
	})
}

const staleBy = 16 * time.Minute
