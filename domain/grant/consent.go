package grant

import "time"

// warnDays are the days before the end of a consent at which a person is told,
// so that there is time to give it anew.
var warnDays = []int{14, 3, 1}

const day = 24 * time.Hour

// ConsentEnds is the end of a refresh token that no refresh moves, or zero when
// none is known: the answer to a refresh moved it by less than half of the time
// since the answer before.
func ConsentEnds(before *TokenIssued, receivedAt, endsAt time.Time) time.Time {
	if before == nil || before.RefreshTokenExpiresAt.IsZero() || endsAt.IsZero() {
		return time.Time{}
	}
	if moved := endsAt.Sub(before.RefreshTokenExpiresAt); moved >= receivedAt.Sub(before.ReceivedAt)/2 {
		return time.Time{}
	}
	return endsAt
}

// sameEnd reports whether two ends are one that was computed twice.
func sameEnd(a, b time.Time) bool { return !a.IsZero() && !b.IsZero() && a.Sub(b).Abs() < day/2 }

// warningDue is when the next warning is due, or zero.
func (s State) warningDue() time.Time {
	if s.Ended || s.OnHold || s.Reauthorize != "" || s.Credential == nil || s.Credential.ConsentEndsAt.IsZero() {
		return time.Time{}
	}
	for _, days := range warnDays {
		if s.Warned == 0 || days < s.Warned {
			return s.Credential.ConsentEndsAt.Add(-time.Duration(days) * day)
		}
	}
	return time.Time{}
}

// Warn decides whether somebody is told at e.At that the consent ends. Warnings
// that were missed are made up for by one.
func (s State) Warn(at time.Time) (Event, error) {
	due := s.warningDue()
	if due.IsZero() || at.Before(due) {
		return nil, nil
	}
	end := s.Credential.ConsentEndsAt
	e := ReauthorizationDueSoon{EndsAt: end, At: at}
	for _, days := range warnDays {
		if end.Sub(at) <= time.Duration(days)*day {
			e.Days = days
		}
	}
	return e, nil
}
