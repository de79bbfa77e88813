package pace_test

import (
	"container/heap"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"outlink/domain/answer"
	"outlink/workers/pace"
)

func request(host string) pace.Request {
	return pace.Request{Host: host, Client: host + " 1", Grant: uuid.New()}
}

// ask enters, and leaves at once with a class; it returns the wait.
func ask(g *pace.Gates, r pace.Request, class answer.Class, retryAfter time.Duration) time.Duration {
	done, wait := g.Enter(r)
	if wait == 0 {
		done(class, retryAfter)
	}
	return wait
}

// within runs f in time that the test moves.
func within(t *testing.T, f func(t *testing.T, g *pace.Gates)) {
	synctest.Test(t, func(t *testing.T) { f(t, &pace.Gates{}) })
}

// A host that asks to be left alone is, for as long as it asked; others go on.
func TestRetryAfter(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		ask(g, request("slow"), answer.RateLimited, 2*time.Minute)
		for range 119 {
			if ask(g, request("slow"), answer.Issued, 0) == 0 {
				t.Fatal("asked before its time")
			}
			if wait := ask(g, request("other"), answer.Issued, 0); wait != 0 {
				t.Fatalf("another host waits %s", wait)
			}
			time.Sleep(time.Second)
		}
		urgent := request("slow")
		urgent.Urgent = true
		if wait := ask(g, urgent, answer.Issued, 0); wait < time.Second || wait > 2*time.Second {
			t.Errorf("an urgent one waits %s", wait)
		}
		time.Sleep(2 * time.Second)
		if wait := ask(g, urgent, answer.Issued, 0); wait != 0 {
			t.Errorf("after its time it waits %s", wait)
		}
	})
}

// The wish of any answer holds for the whole host, an hour at most, and is told
// once to whoever shares it.
func TestAnyRetryAfterClosesTheHost(t *testing.T) {
	for class, wish := range map[answer.Class]time.Duration{
		answer.RateLimited: time.Minute, answer.Ambiguous: 10 * time.Minute, answer.Transient: 9 * time.Hour, answer.AccessDenied: time.Minute,
	} {
		within(t, func(t *testing.T, g *pace.Gates) {
			var told []time.Time
			g.Closed = func(_ string, until time.Time) { told = append(told, until) }
			first, _ := g.Enter(request("h"))
			second, _ := g.Enter(request("h"))
			first(class, wish)
			second(class, wish)
			want := time.Now().Add(min(wish, time.Hour))
			if s := g.States()[0]; !s.ClosedUntil.Equal(want) || len(told) != 1 || !told[0].Equal(want) {
				t.Errorf("%s: closed until %s, told %v, want %s", class, s.ClosedUntil, told, want)
			}
		})
	}
}

// What another node was told holds here.
func TestClosedByAnother(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		g.Close("h", time.Now().Add(time.Minute))
		if _, wait := g.Enter(request("h")); wait < time.Minute {
			t.Errorf("waits %s", wait)
		}
		g.Close("h", time.Now().Add(24*time.Hour))
		if s := g.States()[0]; s.ClosedUntil.After(time.Now().Add(time.Hour)) {
			t.Errorf("closed until %s", s.ClosedUntil)
		}
	})
}

// "Too many" without a wish: a second, then twice as long each time, until a
// request goes through.
func TestPausesGrow(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		urgent := request("h")
		urgent.Urgent = true
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			if wait := ask(g, urgent, answer.RateLimited, 0); wait != 0 {
				t.Fatalf("waits %s", wait)
			}
			_, wait := g.Enter(urgent)
			if wait < want*time.Second || wait > (want+3)*time.Second {
				t.Fatalf("the pause is %s, want %ds", wait, want)
			}
			time.Sleep(wait)
		}
		ask(g, urgent, answer.Issued, 0)
		ask(g, urgent, answer.RateLimited, 0)
		if _, wait := g.Enter(urgent); wait > 4*time.Second {
			t.Errorf("after a success the pause is %s", wait)
		}
	})
}

// Half of twenty failures open the breaker; one request finds out; a host that
// is back is asked slowly at first.
func TestBreaker(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		for i := range 20 {
			r := request("h")
			r.Urgent = i%2 == 0
			if wait := ask(g, r, answer.Ambiguous, 0); wait > 0 {
				time.Sleep(wait)
				ask(g, r, answer.Ambiguous, 0)
			}
		}
		state := g.States()[0]
		if state.Reason != "breaker" || time.Until(state.ClosedUntil) > 30*time.Second {
			t.Fatalf("after twenty failures: %+v", state)
		}
		for _, open := range []time.Duration{60, 120, 240, 480, 600, 600} {
			time.Sleep(time.Until(g.States()[0].ClosedUntil))
			probe := request("h")
			probe.Urgent = true
			done, wait := g.Enter(probe)
			if wait > 0 {
				t.Fatalf("nobody may find out: %s", wait)
			}
			if _, wait := g.Enter(request("h")); wait == 0 {
				t.Fatal("two find out at once")
			}
			done(answer.NotSent, 0)
			if got := time.Until(g.States()[0].ClosedUntil); got != open*time.Second {
				t.Fatalf("open for %s, want %ds", got, open)
			}
		}
		time.Sleep(10 * time.Minute)
		probe := request("h")
		probe.Urgent = true
		if wait := ask(g, probe, answer.Issued, 0); wait != 0 {
			t.Fatalf("waits %s", wait)
		}
		back := g.States()[0].Rate
		time.Sleep(time.Minute)
		if now := g.States()[0].Rate; back > 6 || now < 1.9*back || now > 2.1*back {
			t.Errorf("comes back at %.1f/s, and at %.1f/s a minute later", back, now)
		}
	})
}

// A refused client is left alone for a quarter of an hour; one request finds
// out then. A changed configuration is another client.
func TestClientRefused(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		r := request("h")
		ask(g, r, answer.ClientRejected, 0)
		if _, wait := g.Enter(r); wait != 15*time.Minute {
			t.Errorf("waits %s", wait)
		}
		changed := r
		changed.Client = "h 2"
		if wait := ask(g, changed, answer.Issued, 0); wait != 0 {
			t.Errorf("a changed client waits %s", wait)
		}
		time.Sleep(15 * time.Minute)
		done, wait := g.Enter(r)
		if wait != 0 {
			t.Fatalf("nobody may find out: %s", wait)
		}
		if _, wait := g.Enter(r); wait == 0 {
			t.Error("two find out at once")
		}
		done(answer.Issued, 0)
		if wait := ask(g, r, answer.Issued, 0); wait != 0 {
			t.Errorf("well again, and waits %s", wait)
		}
	})
}

// arrivals are the callers by the time at which they come.
type arrivals []arrival

type arrival struct {
	at time.Time
	r  pace.Request
}

func (a arrivals) Len() int           { return len(a) }
func (a arrivals) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a arrivals) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)        { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// A hundred thousand tokens end together at a provider that takes fifty requests
// a second: few are refused, nobody comes often, and readers do not wait.
func TestHundredThousandTogether(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		const grants, allowed = 100_000, 50.0
		var queue arrivals
		begin := time.Now()
		for range grants {
			queue = append(queue, arrival{begin, request("h")})
		}
		tokens, refilled := allowed, begin
		var served, refused, turns int
		var longest time.Duration
		reader := begin.Add(time.Minute)
		for len(queue) > 0 {
			next := heap.Pop(&queue).(arrival)
			time.Sleep(time.Until(next.at))
			turns++
			now := time.Now()
			if now.After(reader) { // every minute, one grant has a reader
				reader = now.Add(time.Minute)
				longest = max(longest, urgentWait(g))
				now = time.Now()
			}
			tokens = min(allowed, tokens+allowed*now.Sub(refilled).Seconds())
			refilled = now
			done, wait := g.Enter(next.r)
			switch {
			case wait > 0:
				next.at = now.Add(wait)
				heap.Push(&queue, next)
			case tokens < 1:
				done(answer.RateLimited, 0)
				refused++
				next.at = now.Add(time.Second)
				heap.Push(&queue, next)
			default:
				tokens--
				done(answer.Issued, 0)
				served++
			}
		}
		took := time.Since(begin)
		t.Logf("%d served in %s (%.1f/s), %d refused, %.1f turns a grant, a reader waited %s at most",
			served, took.Round(time.Second), float64(served)/took.Seconds(), refused, float64(turns)/grants, longest)
		if refused > grants/50 || turns > 5*grants || longest > 5*time.Second || took > 2*grants/allowed*time.Second {
			t.Error("that is no manner")
		}
	})
}

func urgentWait(g *pace.Gates) time.Duration {
	r, begin := request("h"), time.Now()
	r.Urgent = true
	for wait := ask(g, r, answer.Issued, 0); wait > 0; wait = ask(g, r, answer.Issued, 0) {
		time.Sleep(wait)
	}
	return time.Since(begin)
}

// Never more at once than the window, whoever asks.
func TestConcurrency(t *testing.T) {
	g := &pace.Gates{}
	var mu sync.Mutex
	var inFlight, most int
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			done, wait := g.Enter(request("h"))
			if wait > 0 {
				return
			}
			mu.Lock()
			inFlight++
			most = max(most, inFlight)
			mu.Unlock()
			mu.Lock()
			inFlight--
			mu.Unlock()
			done(answer.Issued, 0)
		})
	}
	wg.Wait()
	if most > 8 {
		t.Errorf("%d at once", most)
	}
}

// A client works as long as its provider takes its word, which a refused grant
// shows as well as a token.
func TestWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &pace.Gates{}
		r := pace.Request{Host: "op", Client: "a"}
		began := time.Now()
		answered := func(class answer.Class) {
			time.Sleep(time.Minute)
			done, wait := g.Enter(r)
			if wait > 0 {
				t.Fatalf("wait %s", wait)
			}
			done(class, 0)
		}
		for class, works := range map[answer.Class]bool{answer.Ambiguous: false, answer.NotSent: false} {
			if answered(class); g.Works(r, began) != works {
				t.Errorf("after %s: works %t", class, !works)
			}
		}
		if answered(answer.Issued); !g.Works(r, began) || g.Works(pace.Request{Host: "op", Client: "b"}, began) || g.Works(r, time.Now()) {
			t.Error("a token was issued, and to this client alone, before now")
		}
	})
}
