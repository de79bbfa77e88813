package refresh

import (
	"time"

	"outlink/domain/answer"
)

// When somebody should look.
const (
	staleAfter = 15 * time.Minute // an access token's end, without a new one
	skewed     = time.Minute      // between a provider's clock and this node's
	alarmEvery = time.Hour        // for one host and one trouble
)

// stale reports whether those who read the grant's token have had none for a while.
func (a attempt) stale(now time.Time) bool {
	c := a.state.Credential
	return c != nil && !now.Before(c.ExpiresAt.Add(staleAfter))
}

// alarm logs what no retry helps against, once an hour for each host.
func (a attempt) alarm(ans answer.Answer) {
	at := host(a.link)
	if ans.Blocked && a.first("blocked "+at) {
		a.Log.Error("a token endpoint is not asked: its certificate or address is not acceptable", "host", at, "link", a.key.Link, "problem", ans.Problem)
	}
	if ans.Skew.Abs() > skewed && a.first("skew "+at) {
		a.Log.Warn("a provider's clock and this node's are apart; lifetimes count by this node's", "host", at, "ahead", ans.Skew.Round(time.Second).String())
	}
}

// first reports whether a trouble was not logged within the last hour.
func (w *Worker) first(trouble string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for t, at := range w.alarmed {
		if now.Sub(at) >= alarmEvery {
			delete(w.alarmed, t)
		}
	}
	if _, known := w.alarmed[trouble]; known {
		return false
	}
	if w.alarmed == nil {
		w.alarmed = map[string]time.Time{}
	}
	w.alarmed[trouble] = now
	return true
}
