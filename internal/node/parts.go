package node

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/httpapi"
	"outlink/internal/jobs"
	"outlink/internal/microapi"
	"outlink/internal/queries"
	"outlink/internal/tokens"
	"outlink/internal/web"
	"outlink/projections"
	"outlink/workers/authorize"
	"outlink/workers/erasure"
	"outlink/workers/refresh"
	"outlink/workers/sweep"
	"outlink/workers/timers"
	"outlink/workers/wake"
)

// part is one long-running piece of a node.
type part struct {
	name string
	run  func(context.Context) error
}

// drain is how long what is in hand may take at the end: a token request's
// deadline and the storing of its answer.
const drain = 90 * time.Second

func (n *Node) parts() []part {
	var parts []part
	if n.has(RoleAPI) || n.has(RoleCommands) {
		parts = append(parts, part{"requests over NATS", n.runRequests})
	}
	if n.has(RoleAPI) {
		parts = append(parts, part{"HTTP", n.runHTTP})
	}
	if n.has(RoleCommands) {
		parts = append(parts, part{"submitted commands", n.runIntake})
	}
	if n.has(RoleProjections) {
		for _, p := range projections.All() {
			parts = append(parts, part{"projection " + p.Name, func(ctx context.Context) error { return n.runProjection(ctx, p) }})
		}
	}
	if n.has(RoleTimers) {
		parts = append(parts, part{"timers", n.runTimers}, part{"sweep", n.runSweep}, part{"erasure", n.runErasure}, part{"wake", n.runWake})
	}
	if n.has(RoleRefresh) {
		parts = append(parts, part{"refresh", n.runRefresh})
	}
	return parts
}

// Schedules are the wake-ups of grants.
func (n *Node) Schedules() eventlog.Schedules {
	return eventlog.Schedules{JS: n.js, Timers: n.timers, Namespace: n.Namespace}
}

func (n *Node) queries() *queries.Service {
	return &queries.Service{
		Read: n.store, Head: n.Feed.Head, Changed: n.advanced.next,
		Catalogue: n.Commands.Catalogue, Policy: n.Commands.Policy, Now: n.Commands.Now,
	}
}

func (n *Node) runRequests(ctx context.Context) error {
	api := &microapi.API{
		Namespace: n.Namespace, Version: Version, CurveKey: n.Vault.CurveKey(),
		Deadline: 30 * time.Second, Parallel: 256, Log: n.Log,
	}
	if n.has(RoleCommands) {
		api.Commands = n.Commands
	}
	if n.has(RoleAPI) {
		api.Queries = n.queries()
		api.Tokens = &tokens.Server{Commands: n.Commands, Wait: 10 * time.Second, Watch: n.watch}
	}
	return api.Run(ctx, n.nc, n.serving)
}

// watch calls changed after each event of a grant.
func (n *Node) watch(key domain.Key, changed func()) (func(), error) {
	sub, err := n.nc.Subscribe(n.Namespace.GrantEvents(key.Link, key.Grant), func(*nats.Msg) { changed() })
	if err != nil {
		return nil, err
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

func (n *Node) runHTTP(ctx context.Context) error {
	flow := &authorize.Flow{Commands: n.Commands, Endpoints: n.oauth, Node: n.Name, Log: n.Log}
	server := &http.Server{
		Handler: n.handler(flow), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10,
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(n.listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil { // a live page holds its stream open
		return server.Close()
	}
	return nil
}

func (n *Node) runIntake(ctx context.Context) error {
	intake := &microapi.Intake{Namespace: n.Namespace, Commands: n.Commands, Seal: n.Vault.Seal, JS: n.js, NC: n.nc, Log: n.Log}
	return jobs.Consumer{
		Connect: n.dial, Stream: n.Namespace.Submitted(), Durable: bus.CommandsConsumer, Parallel: 4,
		Handle: intake.Handle, SetAside: intake.SetAside, Drain: drain, Log: n.Log,
	}.Run(ctx)
}

func (n *Node) runProjection(ctx context.Context, p projections.Projection) error {
	e := projections.Engine{Projection: p, Feed: n.Feed, Store: notifying{n.store, n.advanced}, Log: n.Log}
	return e.Run(ctx)
}

func (n *Node) runTimers(ctx context.Context) error {
	w := &timers.Worker{Grants: n.Commands.Grants, Schedules: n.Schedules()}
	return eventlog.Durable{
		JS: n.js, Stream: n.Namespace.Events(), Name: bus.TimersConsumer, Batch: 500, Handle: w.Handle, Log: n.Log,
	}.Run(ctx)
}

func (n *Node) runSweep(ctx context.Context) error {
	w := &sweep.Worker{
		Read: n.store, Wake: n.Schedules().Set, Now: n.Commands.Now, Log: n.Log,
		Every: 15 * time.Second, Grace: 10 * time.Second,
	}
	return w.Run(ctx)
}

func (n *Node) runErasure(ctx context.Context) error {
	w := &erasure.Worker{
		Commands: n.Commands, Endpoint: n.oauth, Vault: n.Vault, GrantsOf: n.grantsOf, Node: n.Name, Log: n.Log,
	}
	return n.eachEvent(ctx, bus.ErasureConsumer, w.Handle)
}

func (n *Node) runWake(ctx context.Context) error {
	w := &wake.Worker{Read: n.store, Wake: n.Schedules().Set, Now: n.Commands.Now, Spread: n.Commands.Spread}
	return n.eachEvent(ctx, bus.WakeConsumer, w.Handle)
}

// eachEvent hands the events of a durable consumer to a worker one by one.
func (n *Node) eachEvent(ctx context.Context, consumer string, handle func(context.Context, domain.Record) error) error {
	return eventlog.Durable{
		JS: n.js, Stream: n.Namespace.Events(), Name: consumer, Batch: 50, Log: n.Log,
		Handle: func(ctx context.Context, batch []domain.Record) error {
			for _, r := range batch {
				if err := handle(ctx, r); err != nil {
					return err
				}
			}
			return nil
		},
	}.Run(ctx)
}

// grantsOf lists the grants that a link ever had, by their subjects in the log.
func (n *Node) grantsOf(ctx context.Context, id uuid.UUID) ([]domain.Key, error) {
	info, err := n.events.Info(ctx, jetstream.WithSubjectFilter(n.Namespace.GrantsOf(id)))
	if err != nil {
		return nil, err
	}
	var keys []domain.Key
	for subject := range info.State.Subjects {
		grantID, err := uuid.Parse(subject[strings.LastIndexByte(subject, '.')+1:])
		if err != nil {
			return nil, err
		}
		keys = append(keys, domain.Key{Link: id, Grant: grantID})
	}
	return keys, nil
}

func (n *Node) runRefresh(ctx context.Context) error {
	w := &refresh.Worker{
		Commands: n.Commands, Endpoint: n.oauth, Journal: n.journal, Vault: n.Vault, Gates: refresh.NoGates{},
		Later: n.Schedules().Set, Node: n.Name, Boot: n.boot, Log: n.Log,
	}
	if err := w.Replay(ctx); err != nil {
		return err
	}
	if err := n.caughtUp(ctx); err != nil {
		n.Log.Warn("the read model is behind; open attempts of an earlier life wait for their lease", "error", err)
	} else if err := w.Recover(ctx, n.store); err != nil {
		return err
	}
	return jobs.Consumer{
		Connect: n.dial, Stream: n.Namespace.Timers(), Durable: bus.RefreshConsumer, Parallel: 16, Drain: drain, Log: n.Log,
		Handle: func(ctx context.Context, j jobs.Job) error {
			key, err := expiring(j.Subject)
			if err != nil {
				return &jobs.Dead{Reason: err}
			}
			err = w.Handle(ctx, key)
			switch domain.CodeOf(err) {
			case domain.Unavailable, domain.Internal, domain.Conflict:
				return err // tried again
			}
			if err != nil { // the grant or link changed meanwhile: nothing is due any more
				n.Log.Info("nothing to refresh", "grant", key.Grant, "why", err)
			}
			return nil
		},
		SetAside: func(_ context.Context, j jobs.Job, d *jobs.Dead) error {
			n.Log.Error("an expiry event names no grant", "subject", j.Subject, "error", d.Reason)
			return nil
		},
	}.Run(ctx)
}

// caughtUp waits, within reason, until the read model has seen the log as it is
// now.
func (n *Node) caughtUp(ctx context.Context) error {
	return n.queries().Wait(ctx, queries.Freshness{Fresh: true})
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

// handler is everything that HTTP serves.
func (n *Node) handler(flow *authorize.Flow) http.Handler {
	api := &httpapi.API{
		Commands: n.Commands, Queries: n.queries(), Flow: flow, PublicURL: n.PublicURL, Log: n.Log,
		Ready: func(ctx context.Context) error {
			_, err1 := n.Feed.Head(ctx)
			_, err2 := n.store.Positions(ctx)
			return errors.Join(err1, err2)
		},
	}
	mux := http.NewServeMux()
	api.Register(mux)
	site := &web.Site{
		Read: n.store, Commands: n.Commands, Catalogue: n.Commands.Catalogue, Policy: n.Commands.Policy,
		Changes: n.advanced.changes, Now: n.Commands.Now, NewID: n.Commands.NewID,
	}
	site.Register(mux)
	return api.Protect(mux)
}
