package pace_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"outlink/domain/answer"
	"outlink/workers/pace"
)

// answered asks until so many answers of a class came, one grant each.
func answered(g *pace.Gates, n int, class answer.Class) {
	for range n {
		r := request("h")
		for wait := ask(g, r, class, 0); wait > 0; wait = ask(g, r, class, 0) {
			time.Sleep(wait)
		}
	}
}

// A few refusals are believed, or wait a minute to see whether they are many.
// When more than one in a hundred are refused, and twenty, none is believed.
func TestRefusalsAreDoubted(t *testing.T) {
	for name, tt := range map[string]struct {
		well, refused int
		want          time.Duration
	}{
		"one":          {0, 1, 0},
		"three at all": {0, 3, time.Minute},
		"some":         {100, 19, time.Minute}, "many": {475, 25, 10 * time.Minute}, "many of very many": {2975, 25, 0},
	} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, g *pace.Gates) {
				told := 0
				g.Doubted = func(pace.Doubt) { told++ }
				answered(g, tt.well, answer.Issued)
				answered(g, tt.refused, answer.GrantInvalid)
				if got := g.Hold(request("h")); got.Truncate(time.Minute) != tt.want {
					t.Errorf("held for %s, want %s", got, tt.want)
				}
				if many := tt.want > time.Minute; many != (told == 1) || told > 1 {
					t.Errorf("told %d times", told)
				}
				time.Sleep(21 * time.Minute)
				if got := g.Hold(request("h")); got != 0 {
					t.Errorf("held for %s, long after", got)
				}
			})
		})
	}
}

// Those that are held come again few at first, and ever more.
func TestProbesBeginSlowly(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		answered(g, 20, answer.GrantInvalid)
		var minutes [40]int
		for range 1000 {
			minutes[g.Hold(request("h"))/time.Minute]++
		}
		if minutes[9] != 0 || minutes[10] > 10 || minutes[11] < 15 || minutes[11] > 25 || minutes[12] < 30 || minutes[16] > 640 {
			t.Errorf("asked again, by the minute: %v", minutes)
		}
	})
}

// A provider that refuses on and on is believed after six hours, and is not
// doubted anew at once.
func TestDoubtEnds(t *testing.T) {
	within(t, func(t *testing.T, g *pace.Gates) {
		answered(g, 25, answer.GrantInvalid)
		for begin := time.Now(); time.Since(begin) < 10*time.Hour; time.Sleep(5 * time.Minute) {
			answered(g, 15, answer.GrantInvalid)
			if held := g.Hold(request("h")) > 0; held != (time.Since(begin) < 6*time.Hour-time.Minute) {
				t.Fatalf("after %s, held: %t", time.Since(begin), held)
			}
		}
	})
}

// A few grants that are refused again and again are a few.
func TestRefusedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &pace.Gates{}
		for range 30 {
			for i := range 2 {
				r := pace.Request{Host: "op", Client: "a", Grant: uuid.NewSHA1(uuid.Nil, []byte{byte(i)})}
				done, wait := g.Enter(r)
				if wait > 0 {
					t.Fatalf("wait %s", wait)
				}
				done(answer.GrantInvalid, 0)
				if hold := g.Hold(r); hold != 0 {
					t.Fatalf("held for %s", hold)
				}
			}
			time.Sleep(time.Second)
		}
	})
}
