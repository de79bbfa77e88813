package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/notice"
	"outlink/internal/bus"
	"outlink/internal/dead"
	"outlink/internal/eventlog"
	"outlink/internal/jobs"
	"outlink/internal/queries"
	"outlink/internal/webhook"
	"outlink/projections"
	"outlink/workers/authorize"
	"outlink/workers/notify"
	"outlink/workers/pace"
	"outlink/workers/refresh"
	"outlink/workers/sweep"
)

func (n *Node) runTimers(ctx context.Context) error {
	return n.durable(bus.TimersConsumer, 500, n.timersWorker().Handle).Run(ctx)
}

func (n *Node) runSweep(ctx context.Context) error {
	w := &sweep.Worker{
		Read: n.store, Held: n.held, Wake: n.Schedules().Set, Now: n.Commands.Now, Log: n.Log,
		Every: 15 * time.Second, Grace: 10 * time.Second,
	}
	return w.Run(ctx)
}

// held reports whether a link keeps its grants from being renewed until somebody
// enables it, or for ever.
func (n *Node) held(ctx context.Context, id uuid.UUID) (bool, error) {
	l, err := n.Commands.Links.Load(ctx, domain.Key{Link: id})
	s := l.State.Status()
	return s == link.StatusDisabled || s == link.StatusDeleted, err
}

func (n *Node) runErasure(ctx context.Context) error {
	return n.durable(bus.ErasureConsumer, 50, atOnce(n.erasureWorker().Handle)).Run(ctx)
}

func (n *Node) runWake(ctx context.Context) error {
	return n.eachEvent(bus.WakeConsumer, n.wakeWorker().Handle).Run(ctx)
}

func (n *Node) notices(ctx context.Context) (*notify.Worker, error) {
	kv, err := bus.Bucket(ctx, n.js, n.Namespace.Windows(), n.Log)
	if err != nil {
		return nil, err
	}
	return &notify.Worker{
		Links: n.Commands.Links, Grants: n.Commands.Grants, Publish: n.publishNotice, Now: n.Commands.Now, Windows: windows{kv}, Since: n.since,
	}, nil
}

// tellHeld tells of refusals that are not believed.
func (n *Node) tellHeld(ctx context.Context, d pace.Doubt) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	n.Log.Error("many grants are refused at once; nobody is asked for consent for now", "host", d.Host, "link", d.Link)
	w, err := n.notices(ctx)
	if err == nil {
		err = w.Held(ctx, d.Link, d.Host, d.At)
	}
	if err != nil {
		n.Log.Warn("a notice could not be published", "error", err)
	}
}

func (n *Node) runNotices(ctx context.Context) error {
	w, err := n.notices(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	events := n.eachEvent(bus.NoticesConsumer, w.Handle)
	events.Foreign = func(ctx context.Context, f eventlog.Foreign) error {
		return w.Foreign(ctx, notice.Notice{Link: f.Link, Grant: f.Grant, Reason: f.Reason, At: f.At.UTC(), Sequence: f.Sequence})
	}
	group.Go(func() error { return events.Run(ctx) })
	group.Go(func() error {
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done(): // what is over is told now; the rest stays in its bucket for the next node
				grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				return w.Close(grace, n.Commands.Now())
			case now := <-tick.C:
				if err := w.Close(ctx, now); err != nil {
					n.Log.Warn("a summary of notices could not be published", "error", err)
				}
			}
		}
	})
	return group.Wait()
}

func (n *Node) publishNotice(ctx context.Context, notice notice.Notice) error {
	body, err := json.Marshal(notice)
	if err != nil {
		return err
	}
	_, err = n.js.Publish(ctx, n.Namespace.Notice(string(notice.Kind), notice.Link), body, jetstream.WithMsgID(notice.ID.String()))
	return err
}

func (n *Node) tellStopped(ctx context.Context, p projections.Position) error {
	if err := n.publishNotice(ctx, notify.Stopped(p, n.Commands.Now())); err != nil {
		return fmt.Errorf("tell that projection %s has stopped: %w", p.Projection, err)
	}
	return nil
}

func (n *Node) runWebhook(ctx context.Context) error {
	sender, err := webhook.New(n.WebhookURL, n.WebhookSecret)
	if err != nil {
		return err
	}
	return webhook.Delivery{
		JS: n.js, Stream: n.Namespace.Notices(), Consumer: bus.WebhookConsumer, Dead: n.Namespace.Dead(dead.Notice), Sender: sender, Log: n.Log,
	}.Run(ctx)
}

// durable is what a worker follows the log with.
func (n *Node) durable(consumer string, batch int, handle func(context.Context, []domain.Record) error) eventlog.Durable {
	return eventlog.Durable{
		JS: n.js, Stream: n.Namespace.Events(), Name: consumer, Batch: batch, Guard: n.guard, Handle: handle,
		SetAside: n.setEventAside(consumer), Log: n.Log,
	}
}

// eachEvent hands the events of a durable consumer to a worker one by one.
func (n *Node) eachEvent(consumer string, handle func(context.Context, domain.Record) error) eventlog.Durable {
	return n.durable(consumer, 50, func(ctx context.Context, batch []domain.Record) error {
		for _, r := range batch {
			if err := handle(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// atOnce hands events to a worker that does not mind their order, several at a time: one
// that waits holds up no other.
func atOnce(handle func(context.Context, domain.Record) error) func(context.Context, []domain.Record) error {
	return func(ctx context.Context, batch []domain.Record) error {
		var group errgroup.Group
		group.SetLimit(erasing)
		errs := make([]error, len(batch))
		for i, r := range batch {
			group.Go(func() error { errs[i] = handle(ctx, r); return nil })
		}
		_ = group.Wait()
		return errors.Join(errs...)
	}
}

// erasing is how many erasures run at once: each waits for its provider.
const erasing = 16

// grantsOf lists the grants that a link ever had, by their subjects in the log. A
// foreign message may be alone on one: then there is no grant.
func (n *Node) grantsOf(ctx context.Context, id uuid.UUID) ([]domain.Key, error) {
	info, err := n.events.Info(ctx, jetstream.WithSubjectFilter(n.Namespace.GrantsOf(id)))
	if err != nil {
		return nil, err
	}
	var keys []domain.Key
	for subject := range info.State.Subjects {
		key, err := n.grantIn(ctx, id, subject)
		if err != nil {
			return nil, err
		}
		if key.Grant != uuid.Nil {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (n *Node) grantIn(ctx context.Context, link uuid.UUID, subject string) (domain.Key, error) {
	id, err := uuid.Parse(subject[strings.LastIndexByte(subject, '.')+1:])
	if err != nil {
		return domain.Key{}, nil //nolint:nilerr // no event is on such a subject
	}
	key := domain.Key{Link: link, Grant: id}
	at, err := n.Commands.Grants.Load(ctx, key)
	switch {
	case errors.Is(err, domain.ErrUndecodable): // it is there, and must not keep the others alive
		return key, nil
	case err != nil || at.Version == 0:
		return domain.Key{}, err
	}
	return key, nil
}

func (n *Node) runRefresh(ctx context.Context) error {
	pauses, err := newPauses(ctx, n.js, n.Namespace.Pauses(), n.Log)
	if err != nil {
		return err
	}
	go pauses.run(ctx)
	pauses.gates.Doubted = func(d pace.Doubt) { go n.tellHeld(context.WithoutCancel(ctx), d) }
	w := &refresh.Worker{
		Commands: n.Commands, Endpoint: n.oauth, Journal: n.journal, Vault: n.Vault, Gates: pauses.gates,
		Later: n.Schedules().Set, Node: n.Name, Boot: n.boot, Log: n.Log,
	}
	devices := &authorize.Devices{Commands: n.Commands, Endpoint: n.oauth, Later: n.Schedules().Set, Node: n.Name, Log: n.Log}
	began := time.Now()
	for err := w.Replay(ctx); err != nil; err = w.Replay(ctx) { // before any other work, for which the log has to be there too
		if errors.Is(err, refresh.ErrKeyAway) && time.Since(began) > keyWithin {
			break // its grant waits for it, and the others go on
		}
		n.Log.Warn("answers wait in the journal", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
	var others sync.WaitGroup // they may have requests in flight too when the node is told to stop
	others.Go(func() { n.recover(ctx, w) })
	others.Go(func() { n.replay(ctx, w) })
	defer others.Wait()
	return jobs.Consumer{
		Connect: n.dial, Stream: n.Namespace.Timers(), Durable: bus.RefreshConsumer, Parallel: 2 * pace.MostAtOnce, Drain: drain, Log: n.Log,
		Handle: func(ctx context.Context, j jobs.Job) error {
			key, err := expiring(j.Subject)
			if err != nil {
				return &jobs.Dead{Reason: domain.Errorf(domain.InvalidArgument, "the subject names no grant: %v", err)}
			}
			err = errors.Join(w.Handle(ctx, key), devices.Handle(ctx, key))
			switch domain.CodeOf(err) {
			case domain.Unavailable, domain.Internal, domain.Conflict:
				return err // tried again
			}
			if err != nil { // the grant or link changed meanwhile: nothing is due any more
				n.Log.Info("nothing to refresh", "grant", key.Grant, "why", err)
			}
			return nil
		},
		SetAside: n.setExpiryAside,
	}.Run(ctx)
}

// keyWithin is how long a node waits at its start for the keys of answers in its journal.
const keyWithin = time.Minute

// recover goes on where an earlier life of this node stopped: with what the
// journal tells at once, and with the rest when the read model can tell.
func (n *Node) recover(ctx context.Context, w *refresh.Worker) {
	w.Resume(ctx)
	err := n.CaughtUp(ctx)
	if err == nil {
		err = w.Recover(ctx, n.store)
	}
	if err != nil && ctx.Err() == nil {
		n.Log.Warn("open attempts of an earlier life wait for their lease", "error", err)
	}
}

// replayEvery is how long an answer waits at most that the log did not take while
// it was away.
const replayEvery = 15 * time.Second

func (n *Node) replay(ctx context.Context, w *refresh.Worker) {
	for tick := time.NewTicker(replayEvery); ; {
		select {
		case <-tick.C:
			if err := w.Replay(ctx); err != nil {
				n.Log.Warn("answers wait in the journal", "error", err)
			}
			w.Resume(ctx)
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

// CaughtUp waits, within reason, until the read model has seen the log as it is
// now.
func (n *Node) CaughtUp(ctx context.Context) error {
	stale, err := n.queries().Wait(ctx, queries.Freshness{Fresh: true}, projections.Links.Name)
	if err == nil && stale.Stale != "" {
		err = domain.Errorf(domain.Unavailable, "%s", stale.Stale)
	}
	return err
}

func expiring(subject string) (domain.Key, error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) < 2 {
		return domain.Key{}, errors.New("the subject is too short")
	}
	linkID, err1 := uuid.Parse(tokens[len(tokens)-2])
	grantID, err2 := uuid.Parse(tokens[len(tokens)-1])
	return domain.Key{Link: linkID, Grant: grantID}, errors.Join(err1, err2)
}
