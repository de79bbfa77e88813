// Package natsconfig writes the configuration of a NATS server that lets nobody
// in where they don't belong: an account for the nodes, one for each application
// that publishes commands, and users with the least that their role needs.
//
// Whoever is not a node has no access to JetStream: it answers to any reply
// subject, and so its answers could be directed into the log of events.
package natsconfig

import (
	"slices"

	"github.com/google/uuid"

	"outlink/domain/notice"
	"outlink/internal/bus"
	"outlink/internal/dead"
)

// The roles of users. A node's user is RoleNode, which has all of a node's work,
// or one for the part that the node does.
const (
	RoleNode      = "node"
	RoleAPI       = "api"       // a node with the roles api and commands
	RoleProjector = "projector" // a node with the role projections
	RoleWorker    = "worker"    // a node with the roles timers and refresh
	RoleMigrate   = "migrate"   // outlink migrate, outlink events import
	RoleOperator  = "operator"  // the command line
	RoleDashboard = "dashboard"
)

// permissions are the subjects that a user may use, its inbox aside.
type permissions struct {
	Publish, Subscribe, DenyPublish []string
}

// subjects spells the API of JetStream for a namespace.
type subjects struct{ bus.Namespace }

func api(verb string, rest ...string) []string {
	var all []string
	for _, r := range rest {
		all = append(all, "$JS.API."+verb+"."+r)
	}
	return all
}

func kv(bucket string) string { return "KV_" + bucket }

// lookup is what every node looks at when it starts.
func (s subjects) lookup() []string {
	return slices.Concat(
		api("STREAM.INFO", s.Events(), s.Timers(), kv(s.Outcomes()), kv(s.Keys()), kv(s.Vault()), kv(s.Readers())),
		api("DIRECT.GET", kv(s.Keys())+".$KV."+s.Keys()+".namespace.curve", kv(s.Keys())+".$KV."+s.Keys()+".namespace.mac"),
		api("STREAM.MSG.GET", kv(s.Keys())),
	)
}

// follow is reading a stream through consumers of one's own.
func follow(stream string) []string {
	return slices.Concat(
		api("CONSUMER.CREATE", stream+".>"), api("CONSUMER.INFO", stream+".*"), api("CONSUMER.DELETE", stream+".*"),
		api("CONSUMER.MSG.NEXT", stream+".*"), []string{"$JS.FC." + stream + ".>"},
	)
}

// work is taking jobs from a consumer that migrate made.
func work(stream string, consumers ...string) []string {
	var all []string
	for _, c := range consumers {
		all = append(all, "$JS.API.CONSUMER.INFO."+stream+"."+c, "$JS.API.CONSUMER.MSG.NEXT."+stream+"."+c, "$JS.ACK."+stream+"."+c+".>")
	}
	return all
}

func (s subjects) readLog() []string {
	return slices.Concat(api("STREAM.INFO", s.Events()), api("DIRECT.GET", s.Events(), s.Events()+".>"), api("STREAM.MSG.GET", s.Events()), follow(s.Events()))
}

// keepDurables denies making and ending the consumers that workers rely on.
func (s subjects) keepDurables() []string {
	var all []string
	for _, c := range []string{bus.TimersConsumer, bus.ErasureConsumer, bus.WakeConsumer, bus.NoticesConsumer} {
		all = slices.Concat(all, api("CONSUMER.CREATE", s.Events()+"."+c, s.Events()+"."+c+".>"), api("CONSUMER.DELETE", s.Events()+"."+c))
	}
	return all
}

// bucket is reading and writing a bucket's entries: from any replica, or from
// the leader where there are several.
func bucket(name string) []string {
	return slices.Concat(api("DIRECT.GET", kv(name), kv(name)+".>"), api("STREAM.MSG.GET", kv(name)), []string{"$KV." + name + ".>"})
}

// lookAfterDead is having what was set aside done again, and removing it.
func (s subjects) lookAfterDead() []string {
	return slices.Concat(api("STREAM.INFO", s.DeadStream()), api("STREAM.MSG.GET", s.DeadStream()), api("STREAM.MSG.DELETE", s.DeadStream()))
}

// decide is what commands need: the log, the vault and the outcomes.
func (s subjects) decide() []string {
	return slices.Concat(s.readLog(), []string{s.AllEvents()}, bucket(s.Vault()), bucket(s.Keys()), bucket(s.Outcomes()))
}

func (s subjects) schedule() []string {
	return []string{string(s.Namespace) + ".timer.>", string(s.Namespace) + ".expiring.>"}
}

// replies are the inboxes of those who ask. Others get no answer, whatever reply
// subject they give.
func replies(callers []string) []string {
	all := []string{"_R_.>"}
	for _, name := range callers {
		all = append(all, inbox(name))
	}
	return all
}

// inbox is where a user's answers go, and where nobody else may listen.
func inbox(name string) string { return "_INBOX_" + name + ".>" }

// table is every role's permissions, in one place. Callers are the users who ask
// nodes, and get their answers.
func table(n bus.Namespace, callers []string) map[string]permissions {
	s := subjects{n}
	deny := s.keepDurables()
	requests := []string{n.Command("*"), n.Query("*"), n.Info(), n.Token("*"), n.Operate(">"), "$SRV.>"}
	t := map[string]permissions{
		RoleAPI: {
			Publish: slices.Concat(s.lookup(), s.decide(), replies(callers), s.schedule(),
				work(n.Submitted(), bus.CommandsConsumer), []string{n.Dead(dead.Command), string(n) + ".read.*"}, follow(kv(n.Readers())),
				s.lookAfterDead(), follow(n.DeadStream()), []string{n.Submit("*")}),
			Subscribe:   append(requests, n.AllGrantEvents()),
			DenyPublish: deny,
		},
		RoleProjector: {Publish: slices.Concat(s.lookup(), s.readLog(), []string{n.Notice(string(notice.ProjectionStopped), uuid.Nil)}), DenyPublish: deny},
		RoleWorker: {
			Publish: slices.Concat(s.lookup(), s.decide(), s.schedule(),
				work(n.Events(), bus.TimersConsumer, bus.ErasureConsumer, bus.WakeConsumer, bus.NoticesConsumer),
				work(n.Timers(), bus.RefreshConsumer), work(n.Notices(), bus.WebhookConsumer), api("STREAM.PURGE", n.Timers()),
				follow(kv(n.Vault())), []string{string(n) + ".notice.>", n.Dead(dead.Notice), n.Dead(dead.Event), n.Dead(dead.Expiry)},
				s.lookAfterDead(), replies(callers),
				bucket(n.Pauses()), follow(kv(n.Pauses())), bucket(n.Windows()), follow(kv(n.Windows())),
				api("STREAM.INFO", kv(n.Pauses()), kv(n.Windows()))),
			Subscribe:   []string{n.Operate(">"), "$SRV.>"},
			DenyPublish: deny,
		},
		RoleMigrate: {
			Publish: slices.Concat([]string{"$JS.API.>", n.AllEvents(), "$KV." + n.Keys() + ".namespace.>"}, follow(n.Events())),
		},
		RoleOperator: {
			Publish: slices.Concat(s.readLog(), []string{n.Command("*"), n.Query("*"), n.Info(), n.Token("*"), n.Operate(">")},
				bucket(n.Readers()), follow(kv(n.Readers())), api("STREAM.INFO", kv(n.Readers()))),
			Subscribe:   []string{n.AllEvents()},
			DenyPublish: deny,
		},
		RoleDashboard: {Publish: []string{n.Query("*"), n.Info()}, Subscribe: []string{n.AllEvents()}},
	}
	t[RoleNode] = union(t[RoleAPI], t[RoleProjector], t[RoleWorker])
	return t
}

// reader may ask for the tokens of its links, and for nothing else.
func reader(n bus.Namespace, links []string) permissions {
	p := permissions{Publish: []string{n.Info()}}
	for _, link := range links {
		p.Publish = append(p.Publish, n.Token(link))
	}
	return p
}

// publisher sends commands from an application's account.
func publisher(n bus.Namespace) permissions { return permissions{Publish: imports(n)} }

// imports are the services that an application's account gets.
func imports(n bus.Namespace) []string {
	return []string{n.Command("*"), n.Query("*"), n.Submit("*"), n.Info()}
}

func union(all ...permissions) (u permissions) {
	for _, p := range all {
		u.Publish, u.Subscribe = append(u.Publish, p.Publish...), append(u.Subscribe, p.Subscribe...)
		u.DenyPublish = append(u.DenyPublish, p.DenyPublish...)
	}
	return u.sorted()
}

// sorted makes the output the same each time.
func (p permissions) sorted() permissions {
	for _, list := range []*[]string{&p.Publish, &p.Subscribe, &p.DenyPublish} {
		*list = slices.Compact(slices.Sorted(slices.Values(*list)))
	}
	return p
}
