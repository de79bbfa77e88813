package node

import (
	"context"
	"errors"
	"time"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/dead"
	"outlink/internal/jobs"
	"outlink/internal/microapi"
	"outlink/workers/erasure"
	"outlink/workers/timers"
	"outlink/workers/wake"
)

func (n *Node) deadBox() dead.Box { return dead.Box{JS: n.js, Namespace: n.Namespace} }

// deadCommands answers an operator about what was set aside, and has refused
// commands submitted again.
func (n *Node) deadCommands() dead.Service {
	retry := dead.Commands{Box: n.deadBox(), Open: n.Vault.Unseal, Forget: n.outcomes.ForgetRefusal}
	return dead.Service{Box: n.deadBox(), Open: n.Vault.Unseal, Log: n.Log, Again: map[string]dead.Again{dead.Command: retry.Again}}
}

// runOperations answers an operator who wants workers to try again.
func (n *Node) runOperations(ctx context.Context) error {
	box, ns := n.deadBox(), string(n.Namespace)
	s := dead.Service{Box: box, Open: n.Vault.Unseal, Log: n.Log, Again: map[string]dead.Again{
		dead.Event:  dead.Events(n.workAgain),
		dead.Notice: box.Published(ns + ".notice."),
		dead.Expiry: box.Published(ns + ".expiring."),
	}}
	api := &microapi.API{
		Namespace: n.Namespace, Version: Version, Operations: s.Retries(), Deadline: 30 * time.Second, Parallel: 16, Log: n.Log,
	}
	return api.Run(ctx, n.nc, func() {})
}

// setEventAside keeps where an event is that a worker cannot decode.
func (n *Node) setEventAside(consumer string) func(context.Context, string, uint64, error) error {
	return func(ctx context.Context, subject string, sequence uint64, reason error) error {
		return dead.Put(ctx, n.js, n.Namespace.Dead(dead.Event), dead.Letter{
			Subject: subject, Sequence: sequence, Consumer: consumer, Reason: reason,
		})
	}
}

// setExpiryAside keeps an expiry that cannot be worked on. The sweep finds a grant
// that is due again and again: within an hour that is one letter.
func (n *Node) setExpiryAside(ctx context.Context, j jobs.Job, d *jobs.Dead) error {
	n.Log.Error("an expiry event is set aside", "subject", j.Subject, "error", d.Reason)
	return dead.Put(ctx, n.js, n.Namespace.Dead(dead.Expiry), dead.Letter{
		Subject: j.Subject, Consumer: bus.RefreshConsumer, Reason: d.Reason,
	})
}

// workAgain has a worker of this node work on one event of the log.
func (n *Node) workAgain(ctx context.Context, consumer string, sequence uint64, dry bool) error {
	work, err := n.worker(ctx, consumer)
	if err != nil {
		return err
	}
	r, err := n.Feed.Event(ctx, sequence)
	if err == nil && !dry {
		err = work(ctx, r)
	}
	if errors.Is(err, domain.ErrUndecodable) {
		return domain.Errorf(domain.FailedPrecondition, "it cannot be decoded by version %s of this node either: %v", Version, err)
	}
	return err
}

// worker is what follows the log under the name of a consumer.
func (n *Node) worker(ctx context.Context, consumer string) (func(context.Context, domain.Record) error, error) {
	switch consumer {
	case bus.TimersConsumer:
		return func(ctx context.Context, r domain.Record) error {
			return n.timersWorker().Handle(ctx, []domain.Record{r})
		}, nil
	case bus.ErasureConsumer:
		return n.erasureWorker().Handle, nil
	case bus.WakeConsumer:
		return n.wakeWorker().Handle, nil
	case bus.NoticesConsumer:
		w, err := n.notices(ctx)
		if err != nil {
			return nil, err
		}
		return w.Handle, nil
	}
	return nil, domain.Errorf(domain.FailedPrecondition, "no worker follows the log as %q", consumer)
}

func (n *Node) timersWorker() *timers.Worker {
	return &timers.Worker{Grants: n.Commands.Grants, Links: n.Commands.Links, Schedules: n.Schedules(), Now: n.Commands.Now}
}

func (n *Node) erasureWorker() *erasure.Worker {
	return &erasure.Worker{
		Commands: n.Commands, Endpoint: n.oauth, Vault: n.Vault, GrantsOf: n.grantsOf, Node: n.Name, Log: n.Log,
	}
}

func (n *Node) wakeWorker() *wake.Worker {
	return &wake.Worker{Read: n.store, Wake: n.Schedules().Set, Now: n.Commands.Now, Spread: n.Commands.Spread}
}
