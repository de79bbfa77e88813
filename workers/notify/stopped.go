package notify

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/domain/advice"
	"outlink/domain/notice"
	"outlink/projections"
)

// Stopped is the notice of a projection that has stopped at an event that it
// cannot fold. It has one id, however often a node finds that out.
func Stopped(p projections.Position, now time.Time) notice.Notice {
	return notice.Notice{
		ID: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "stopped %s %d %d", p.Projection, p.Generation, p.Sequence)), Kind: notice.ProjectionStopped,
		Projection: p.Projection, Reason: p.Problem, At: now, Sequence: p.Sequence,
		Advice: advice.Advice{
			Why: fmt.Sprintf("The read model shows the state of sequence %d, and gets no newer. Tokens are renewed and served all the same.", p.Sequence),
			Fix: "See: outlink projection status. Run a version that knows the event, and restart a node with the role projections.",
		},
	}
}
