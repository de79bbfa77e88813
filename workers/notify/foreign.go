package notify

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/notice"
)

// Foreign tells of a message in the log that none of the nodes wrote; the notice
// says where it is and why it is none. There is one in ten minutes at most for
// the whole installation, however many links somebody writes to.
func (w *Worker) Foreign(ctx context.Context, n notice.Notice) error {
	l, err := w.Links.Load(ctx, domain.Key{Link: n.Link})
	if err != nil {
		return fmt.Errorf("describe link %s: %w", n.Link, err)
	}
	n.ID, n.Kind, n.LinkName = uuid.NewSHA1(n.Link, fmt.Appendf(nil, "foreign %d", n.Sequence)), notice.ForeignMessage, l.State.Name
	n.Advice = advice.Advice{
		Why: fmt.Sprintf("The message at sequence %d of the log of events was not written by a node: %s. It is ignored and changes nothing.", n.Sequence, n.Reason),
		Fix: "Find out which user of the bus may write events and is no node, and change that user's key; outlink events verify lists all such messages.",
	}
	counted := n
	counted.Link = uuid.Nil
	_, send, err := w.enter(ctx, counted)
	if err != nil || !send {
		return err
	}
	return w.Publish(ctx, n)
}
