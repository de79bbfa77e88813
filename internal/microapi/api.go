// Package microapi is Outlink's door on NATS: a micro service (ADR-32) that
// takes commands, queries and token requests, and the intake of submitted
// commands.
//
// It translates and nothing more: what a command does is decided in commands.
// It answers only reply subjects that a client's inbox can have, because a reply
// subject is chosen by the caller and could name the event stream.
package microapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/queries"
	"outlink/internal/tokens"
)

// API serves requests. Commands, Queries, Tokens and Operations may each be nil: then this
// node does not serve them. The other fields are required.
type API struct {
	Namespace bus.Namespace
	Version   string // semantic version of the service
	Commands  *commands.Service
	Queries   *queries.Service
	Tokens    *tokens.Server
	Readers   *Readers // of tokens; nil: no reply is sealed
	CurveKey  string   // public: secrets in commands are sealed to it

	// Operations answer operators, by name; nil: none here.
	Operations map[string]func(ctx context.Context, actor string, body []byte) (any, error)

	Deadline time.Duration
	Parallel int // requests in hand at once; more wait
	Log      *slog.Logger
}

// Info is what outlink.info answers: all that a client has to know.
type Info struct {
	Namespace string   `json:"namespace"`
	Version   string   `json:"version"` // of the node that answers
	CurveKey  string   `json:"curve_key"`
	Commands  []string `json:"commands"`
	Queries   []string `json:"queries"`
}

// Run serves until the context ends, then finishes the requests in hand. It
// calls ready once the server knows all its subscriptions.
func (a *API) Run(ctx context.Context, nc *nats.Conn, ready func()) error {
	s := &server{API: a, nc: nc, slots: make(chan struct{}, a.Parallel)}
	service, err := micro.AddService(nc, micro.Config{
		Name: string(a.Namespace), Version: a.Version, Description: "outgoing OAuth 2.0 links",
	})
	if err != nil {
		return err
	}
	for subject, handler := range s.endpoints() {
		name := strings.Trim(strings.NewReplacer(".", "-", "*", "any").Replace(strings.TrimPrefix(subject, string(a.Namespace)+".")), "-")
		if err := service.AddEndpoint(name, handler, micro.WithEndpointSubject(subject)); err != nil {
			_ = service.Stop()
			return err
		}
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		_ = service.Stop()
		return err
	}
	ready()
	<-ctx.Done()
	err = service.Stop()
	s.wg.Wait()
	return err
}

type server struct {
	*API
	nc    *nats.Conn
	slots chan struct{}
	wg    sync.WaitGroup
}

// handler answers a request; last is the last token of its subject.
type handler func(ctx context.Context, last string, r micro.Request) (any, error)

func (s *server) endpoints() map[string]micro.Handler {
	e := map[string]micro.Handler{}
	for name, operate := range s.Operations {
		e[s.Namespace.Operate(name)] = s.concurrently(func(ctx context.Context, _ string, r micro.Request) (any, error) {
			return operate(ctx, caller(r), r.Data())
		})
	}
	if s.Commands != nil || s.Queries != nil {
		e[s.Namespace.Info()] = s.concurrently(s.info)
	}
	if s.Commands != nil {
		e[s.Namespace.Command("*")] = s.concurrently(s.command)
	}
	if s.Queries != nil {
		e[s.Namespace.Query("*")] = s.concurrently(s.query)
	}
	if s.Tokens != nil {
		e[s.Namespace.Token("*")] = s.cachedFirst(s.concurrently(s.token))
	}
	return e
}

// replies are the subjects that a reply may go to: an inbox, or the reply of an
// imported service.
var replies = regexp.MustCompile(`^(_INBOX\.|_R_\.|_INBOX_[A-Za-z0-9-]+\.)[^*> ]+$`)

// concurrently runs each request in its own goroutine: micro calls an endpoint's
// handler for one request at a time.
func (s *server) concurrently(h handler) micro.Handler {
	return micro.HandlerFunc(func(r micro.Request) {
		if !s.answerable(r) {
			return
		}
		s.slots <- struct{}{}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer func() { <-s.slots }()
			s.answer(h, r)
		}()
	})
}

// answerable refuses a reply subject that is no inbox, loudly.
func (s *server) answerable(r micro.Request) bool {
	ok := replies.MatchString(r.Reply())
	if !ok {
		s.Log.Warn("a request with a foreign reply subject was ignored", "subject", r.Subject(), "reply", r.Reply())
	}
	return ok
}

func (s *server) answer(h handler, r micro.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), s.Deadline)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("a request handler panicked", "subject", r.Subject(), "panic", p)
			s.fail(r, domain.Errorf(domain.Internal, "internal error; the node's log has the cause"))
		}
	}()
	out, err := h(ctx, last(r.Subject()), r)
	if err != nil {
		s.fail(r, err)
		return
	}
	s.respond(r, out)
}

func (s *server) respond(r micro.Request, out any) {
	body, err := json.Marshal(out)
	if err != nil {
		s.fail(r, fmt.Errorf("encode the answer to %s: %w", r.Subject(), err))
		return
	}
	s.reply(r, nil, body)
}

// reply goes over the connection and not through the request, which the library
// looks at when its handler has returned: while the answer is still being made.
func (s *server) reply(r micro.Request, header nats.Header, body []byte) {
	if err := s.nc.PublishMsg(&nats.Msg{Subject: r.Reply(), Header: header, Data: body}); err != nil {
		s.Log.Warn("a reply could not be sent", "subject", r.Subject(), "error", err)
	}
}

// last is a subject's last token.
func last(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// fail answers with an error: its code in the micro service header, the whole
// of it as the body.
func (s *server) fail(r micro.Request, err error) {
	public := domain.Public(err)
	switch public.Code {
	case domain.Internal:
		s.Log.Error("a request failed", "subject", r.Subject(), "error", err)
	case domain.Unavailable: // mostly its caller's or a provider's trouble, who are told
		s.Log.Info("a request failed for now", "subject", r.Subject(), "error", err)
	}
	body, _ := json.Marshal(public) // strings and plain details
	message := strings.NewReplacer("\r", " ", "\n", " ").Replace(public.Message)
	s.reply(r, nats.Header{micro.ErrorHeader: {message}, micro.ErrorCodeHeader: {string(public.Code)}}, body)
}

func (s *server) info(context.Context, string, micro.Request) (any, error) {
	return Info{
		Namespace: string(s.Namespace), Version: s.Version, CurveKey: s.CurveKey,
		Commands: commands.Names(), Queries: queries.Names(),
	}, nil
}

func (s *server) command(ctx context.Context, name string, r micro.Request) (any, error) {
	h := r.Headers()
	return s.Commands.Run(ctx, name, commands.Door{Actor: caller(r), Traceparent: h.Get("traceparent"), Again: h.Get(bus.HeaderAgain) != ""}, r.Data())
}

func (s *server) query(ctx context.Context, name string, r micro.Request) (any, error) {
	return s.Queries.Run(ctx, name, r.Data())
}
