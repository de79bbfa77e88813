package pace_test

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"outlink/domain/answer"
	"outlink/workers/pace"
)

// A host that was away is asked for those first whom a reader waits for, and then
// for those whose tokens end first, whoever came first.
func TestOrderAfterAnOutage(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		const grants = 1200
		back := time.Now().Add(10 * time.Minute)
		g.Close("h", back)
		var queue arrivals
		for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(grants) {
			r := request("h")
			r.Ends, r.Urgent = back.Add(time.Duration(i)*time.Second), i%60 == 0
			queue = append(queue, arrival{time.Now().Add(time.Duration(len(queue)) * time.Millisecond), r})
		}
		heap.Init(&queue)
		var readers time.Duration
		var quarters [4]time.Duration // how long each quarter waited together, by the end of its tokens
		for len(queue) > 0 {
			next := heap.Pop(&queue).(arrival)
			time.Sleep(time.Until(next.at))
			if wait := ask(g, next.r, answer.Issued, 0); wait > 0 {
				next.at = time.Now().Add(wait)
				heap.Push(&queue, next)
				continue
			}
			if next.r.Urgent {
				readers = max(readers, time.Since(back))
				continue
			}
			quarters[int(next.r.Ends.Sub(back)/time.Second)*4/grants] += time.Since(back)
		}
		t.Logf("readers waited %s at most; the quarters, by the end of their tokens, %v on average", readers, averages(quarters, grants/4))
		if readers > 4*time.Second {
			t.Errorf("a reader waited %s", readers)
		}
		for i := range 3 {
			if quarters[i] >= quarters[i+1] {
				t.Errorf("quarter %d waited longer than the next", i)
			}
		}
		if quarters[0]*2 > quarters[3] {
			t.Error("those with the least time are hardly before those with the most")
		}
	})
}

func averages(sums [4]time.Duration, each int) [4]time.Duration {
	for i := range sums {
		sums[i] = (sums[i] / time.Duration(each)).Round(time.Millisecond)
	}
	return sums
}

// However well a host answers, it is never sent more at once than half of what a
// node does at once.
func TestMostAtOnce(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		for range 5000 {
			r := request("h")
			r.Urgent = true
			for wait := ask(g, r, answer.Issued, 0); wait > 0; wait = ask(g, r, answer.Issued, 0) {
				time.Sleep(wait)
			}
		}
		n := 0
		for range 1000 {
			r := request("h")
			r.Urgent = true
			if _, wait := g.Enter(r); wait == 0 {
				n++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n != pace.MostAtOnce {
			t.Errorf("%d at once, want %d", n, pace.MostAtOnce)
		}
	})
}

// What waits through a slow return is told a time that counts with the pace
// growing, not with the pace as it is at that moment.
func TestPlacesCountWithTheRamp(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		for range 25 { // the breaker opens
			r := request("h")
			r.Urgent = true
			ask(g, r, answer.NotSent, 0)
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Until(g.States()[0].ClosedUntil))
		probe := request("h")
		probe.Urgent = true
		if wait := ask(g, probe, answer.Issued, 0); wait != 0 {
			t.Fatalf("waits %s", wait)
		}
		rate := g.States()[0].Rate
		var last time.Duration
		for range 3000 {
			_, last = g.Enter(request("h"))
		}
		if flat := time.Duration(3000 / rate * float64(time.Second)); last > flat/2 {
			t.Errorf("the last of 3000 is told %s at %.1f/s at first", last, rate)
		}
	})
}
