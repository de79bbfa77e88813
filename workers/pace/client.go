package pace

import (
	"time"

	"outlink/domain/answer"
)

// clientHold is how long a client that was refused is left alone.
const clientHold = 15 * time.Minute

// client is the gate of one configured client: while its secret is wrong, every
// request of every grant would be refused alike.
type client struct {
	heldUntil time.Time
	probing   bool      // the hold is over, and one request finds out
	answered  time.Time // when the provider last took the client's word
	doubt     doubt
	used      time.Time
}

func (c *client) wait(now time.Time) time.Duration {
	switch {
	case now.Before(c.heldUntil):
		return c.heldUntil.Sub(now)
	case c.probing:
		return 5 * time.Second
	}
	return 0
}

func (c *client) enter(time.Time) {
	c.probing = !c.heldUntil.IsZero()
}

func (c *client) leave(class answer.Class, now time.Time) {
	c.probing = false
	switch {
	case class.OfLink():
		c.heldUntil = now.Add(clientHold)
	case class == answer.Issued, class == answer.GrantInvalid:
		c.heldUntil, c.answered = time.Time{}, now
	}
}
