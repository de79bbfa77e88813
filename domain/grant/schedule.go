package grant

import "time"

// The margins of a renewal before expiry.
const (
	shortLife = 100 * time.Second
	minMargin = 30 * time.Second
	maxMargin = 30 * time.Minute
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
	return expires.Add(-margin - time.Duration(spread*float64(room)))
}
