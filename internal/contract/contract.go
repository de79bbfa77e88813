// Package contract describes Outlink's doors from the Go types behind them: JSON
// Schemas, an OpenAPI and an AsyncAPI document, and the pages of docs/reference.
//
// Its tests write what it makes, and hold what is committed against it. A node
// serves the committed files and does not contain this package.
package contract

import (
	"reflect"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/domain/notice"
	"outlink/internal/httpapi"
	"outlink/internal/microapi"
	"outlink/internal/queries"
	"outlink/internal/tokens"
)

// Version is the contract's: the first number is that of all schemas.
const Version = "1.0.0"

// Message is one kind of JSON document that goes through a door.
type Message struct {
	ID    string // the name of its schema, which ends in its version
	Type  reflect.Type
	Input bool // Outlink reads it; else it writes it
}

// Commands are the commands, by name.
func Commands() []Message { return input("outlink.command.", commands.Names(), commands.Zero) }

// Questions are what queries are asked, Answers what they answer.
func Questions() []Message {
	return input("outlink.query.", queries.Names(), func(name string) any { q, _ := queries.Zero(name); return q })
}

// Answers are the answers to Questions, in the same order.
func Answers() []Message {
	var all []Message
	for _, name := range queries.Names() {
		_, a := queries.Zero(name)
		all = append(all, Message{ID: "outlink.answer." + name + ".v1", Type: reflect.TypeOf(a)})
	}
	return all
}

// Events are the events of all aggregates.
func Events() []Message {
	return append(append(events(link.Kinds), events(grant.Kinds)...), events(name.Kinds)...)
}

// The other messages.
var (
	Outcome      = Message{ID: "outlink.outcome.v1", Type: reflect.TypeFor[commands.Outcome]()}
	Error        = Message{ID: "outlink.error.v1", Type: reflect.TypeFor[domain.Error]()}
	Problem      = Message{ID: "outlink.problem.v1", Type: reflect.TypeFor[httpapi.Problem]()}
	Info         = Message{ID: "outlink.info.v1", Type: reflect.TypeFor[microapi.Info]()}
	TokenRequest = Message{ID: "outlink.token.request.v1", Type: reflect.TypeFor[microapi.TokenRequest](), Input: true}
	TokenReply   = Message{ID: "outlink.token.reply.v1", Type: reflect.TypeFor[microapi.TokenReply]()}
	Sealed       = Message{ID: "outlink.sealed.v1", Type: reflect.TypeFor[domain.Sealed]()}
	Notice       = Message{ID: "outlink.notice.v1", Type: reflect.TypeFor[notice.Notice]()}
	Read         = Message{ID: "outlink.read.v1", Type: reflect.TypeFor[tokens.Reads]()}
)

// Messages are all of them.
func Messages() []Message {
	all := []Message{Outcome, Error, Problem, Info, TokenRequest, TokenReply, Sealed, Notice, Read}
	for _, more := range [][]Message{Commands(), Questions(), Answers(), Events()} {
		all = append(all, more...)
	}
	return all
}

func input(prefix string, names []string, zero func(string) any) []Message {
	var all []Message
	for _, name := range names {
		all = append(all, Message{ID: prefix + name + ".v1", Type: reflect.TypeOf(zero(name)), Input: true})
	}
	return all
}

func events[E any](kinds domain.Kinds[E]) []Message {
	var all []Message
	for _, typ := range kinds.Types() {
		zero, err := kinds.Decode(typ, []byte("{}"))
		if err != nil {
			panic(err) // NewKinds has decoded the same
		}
		all = append(all, Message{ID: typ, Type: reflect.TypeOf(zero)})
	}
	return all
}
