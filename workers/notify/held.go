package notify

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/domain/advice"
	"outlink/domain/notice"
)

// Held tells, once a day for a link, that so many grants are refused at a host
// that no refusal is believed for a while.
func (w *Worker) Held(ctx context.Context, link uuid.UUID, host string, at time.Time) error {
	n := notice.Notice{
		ID: uuid.NewSHA1(link, []byte("held "+at.UTC().Format(time.DateOnly))), Kind: notice.ReauthorizationHeld, Link: link, At: at,
	}
	if err := w.describe(ctx, &n); err != nil {
		return err
	}
	n.Advice = advice.Advice{
		Why: fmt.Sprintf("%s refuses so many grants at once that it is hardly their own fault. Nobody is asked for consent; they are asked again little by little.", host),
		Fix: "Look at the provider's status, and whether somebody removed or changed the application there. After six hours the refusals are believed.",
	}
	return w.Publish(ctx, n)
}
