package grant

import "time"

// The margins of a renewal before expiry.
const (
	shortLife = 100 * time.Second
	minMargin = 30 * time.Second
	maxMargin = 30 * time.Minute

	// minInterval is the shortest time between two renewals: a provider that says
	// its tokens live for a second is not asked twice in it.
	minInterval = 2 * time.Second
)

// Margin is how long before its end a token of the given lifetime is renewed:
// 30 % of the lifetime within 30 s and 30 min; half of it below 100 s.
// Where a refresh ends the old access token at once, it is as late as is safe.
func Margin(lifetime time.Duration, endsOldAccessToken bool) time.Duration {
	switch {
	case lifetime < shortLife:
		return lifetime / 2
	case endsOldAccessToken:
		return min(max(2*time.Minute, lifetime/20), lifetime/2)
	}
	return min(max(lifetime*3/10, minMargin), maxMargin)
}

// RefreshAt is when a token is renewed: between one and one and a half margins
// before its end, by spread in [0,1), so that tokens issued together are not
// renewed together. A short life leaves room for a tenth of a margin only.
func RefreshAt(received, expires time.Time, endsOldAccessToken bool, spread float64) time.Time {
	lifetime := expires.Sub(received)
	margin := Margin(lifetime, endsOldAccessToken)
	room := margin / 2
	if lifetime < shortLife {
		room = margin / 10
	}
	at := expires.Add(-margin - time.Duration(spread*float64(room)))
	if soonest := received.Add(minInterval); at.Before(soonest) {
		return earlier(soonest, expires) // what has no life left is due at once
	}
	return at
}

// BeforeEnd brings a renewal forward to the middle of what a refresh token has
// left to live, when it would come too late for that: an announced end that a
// refresh moves on is met in time, and one that it does not move on is not run
// against ever faster.
func BeforeEnd(at, received, end time.Time) time.Time {
	left := end.Sub(received)
	if end.IsZero() || at.Before(end.Add(-Margin(left, false))) {
		return at
	}
	return earlier(at, received.Add(max(left/2, minMargin)))
}
