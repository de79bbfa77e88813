package node

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/history"
	"outlink/internal/httpapi"
	"outlink/internal/jobs"
	"outlink/internal/microapi"
	"outlink/internal/queries"
	"outlink/internal/readmodel"
	"outlink/internal/tokens"
	"outlink/internal/web"
	"outlink/projections"
	"outlink/workers/authorize"
)

// part is one long-running piece of a node.
type part struct {
	name string
	run  func(context.Context) error
}

// drain is how long what is in hand may take at the end: a token request's
// deadline of 90 s, and the storing of its answer.
const drain = 110 * time.Second

func (n *Node) parts() []part {
	var parts []part
	if n.has(RoleAPI) || n.has(RoleCommands) {
		parts = append(parts, part{"requests over NATS", n.runRequests})
	}
	if n.has(RoleAPI) {
		parts = append(parts, part{"HTTP", n.runHTTP}, part{"token cache", n.runCache},
			part{"audit of reads", n.tokens.Audit.Run}, part{"readers", n.readers.Run})
	}
	if n.has(RoleCommands) {
		parts = append(parts, part{"submitted commands", n.runIntake})
	}
	if n.has(RoleProjections) {
		parts = append(parts, part{"projections", n.keeper().Follow})
	}
	if n.has(RoleTimers) {
		parts = append(parts, part{"timers", n.runTimers}, part{"sweep", n.runSweep}, part{"erasure", n.runErasure}, part{"wake", n.runWake}, part{"notices", n.runNotices}, part{"operations", n.runOperations})
		if n.WebhookURL != "" {
			parts = append(parts, part{"webhook", n.runWebhook})
		}
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
		Read: n.store, At: n.store.At, Last: n.Feed.Last, Changed: n.advanced.next,
		Past: func(ctx context.Context, link uuid.UUID, at time.Time, version uint64) (projections.LinkRow, error) {
			return history.LinkAt(ctx, n.Feed, link, history.Moment{Time: at, Version: version})
		},
		Catalogue: n.Commands.Catalogue, Policy: n.Commands.Policy, Now: n.Commands.Now,
	}
}

func (n *Node) runRequests(ctx context.Context) error {
	api := &microapi.API{
		Namespace: n.Namespace, Version: Version, CurveKey: n.Vault.CurveKey(),
		Deadline: 30 * time.Second, Parallel: 256, Log: n.Log,
	}
	if n.has(RoleCommands) {
		api.Commands, api.Operations = n.Commands, n.deadCommands().Operations()
	}
	if n.has(RoleAPI) {
		api.Queries, api.Tokens, api.Readers = n.queries(), n.tokens, n.readers
	}
	return api.Run(ctx, n.nc, n.serving)
}

// publishReads writes an entry of the audit of token reads.
func (n *Node) publishReads(ctx context.Context, r tokens.Reads) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = n.js.Publish(ctx, n.Namespace.Read(r.Link), body)
	return err
}

func (n *Node) runCache(ctx context.Context) error {
	return n.tokens.Cache.Run(ctx, n.Feed.Changes, n.Log)
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
	server.RegisterOnShutdown(n.advanced.end)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(n.listener) }()
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil { // somebody does not read what was asked for
		err = server.Close()
	}
	flow.Wait() // each is over after a while, also when vault and log stay away
	return err
}

func (n *Node) runIntake(ctx context.Context) error {
	intake := &microapi.Intake{Namespace: n.Namespace, Commands: n.Commands, Seal: n.Vault.Seal, JS: n.js, NC: n.nc, Log: n.Log}
	return jobs.Consumer{
		Connect: n.dial, Stream: n.Namespace.Submitted(), Durable: bus.CommandsConsumer, Parallel: 4,
		Handle: intake.Handle, SetAside: intake.SetAside, Drain: drain, Log: n.Log,
	}.Run(ctx)
}

func (n *Node) keeper() readmodel.Keeper {
	return readmodel.Keeper{Feed: n.Feed, Store: notifying{n.store, n.advanced, n.tellStopped}, Log: n.Log}
}

// handler is everything that HTTP serves.
func (n *Node) handler(flow *authorize.Flow) http.Handler {
	api := &httpapi.API{
		Commands: n.Commands, Queries: n.queries(), Flow: flow, Feed: n.Feed, PublicURL: n.PublicURL, Ends: n.advanced.over, Log: n.Log,
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
