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
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/queries"
	"outlink/internal/tokens"
)

// API serves requests. Commands, Queries and Tokens may each be nil: then this
// node does not serve them. The other fields are required.
type API struct {
	Namespace bus.Namespace
	Version   string // semantic version of the service
	Commands  *commands.Service
	Queries   *queries.Service
	Tokens    *tokens.Server
	CurveKey  string // public: secrets in commands are sealed to it
	Deadline  time.Duration
	Parallel  int // requests in hand at once; more wait
	Log       *slog.Logger
}

// Info is what outlink.info answers: all that a client has to know.
type Info struct {
	Namespace string   `json:"namespace"`
	Version   string   `json:"version"`
	CurveKey  string   `json:"curve_key"`
	Commands  []string `json:"commands"`
	Queries   []string `json:"queries"`
}

// Run serves until the context ends, then finishes the requests in hand. It
// calls ready once the server knows all its subscriptions.
func (a *API) Run(ctx context.Context, nc *nats.Conn, ready func()) error {
	s := &server{API: a, slots: make(chan struct{}, a.Parallel)}
	service, err := micro.AddService(nc, micro.Config{
		Name: string(a.Namespace), Version: a.Version, Description: "outgoing OAuth 2.0 links",
	})
	if err != nil {
		return err
	}
	for subject, handle := range s.endpoints() {
		name := strings.Trim(strings.NewReplacer(".", "-", "*", "any").Replace(strings.TrimPrefix(subject, string(a.Namespace)+".")), "-")
		if err := service.AddEndpoint(name, s.concurrently(handle), micro.WithEndpointSubject(subject)); err != nil {
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
	slots chan struct{}
	wg    sync.WaitGroup
}

// handler answers a request; last is the last token of its subject.
type handler func(ctx context.Context, last string, r micro.Request) (any, error)

func (s *server) endpoints() map[string]handler {
	e := map[string]handler{s.Namespace.Info(): s.info}
	if s.Commands != nil {
		e[s.Namespace.Command("*")] = s.command
	}
	if s.Queries != nil {
		e[s.Namespace.Query("*")] = s.query
	}
	if s.Tokens != nil {
		e[s.Namespace.Token("*")] = s.token
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
		if !replies.MatchString(r.Reply()) {
			s.Log.Warn("a request with a foreign reply subject was ignored", "subject", r.Subject(), "reply", r.Reply())
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

func (s *server) answer(h handler, r micro.Request) {
	ctx, cancel := context.WithTimeout(context.Background(), s.Deadline)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("a request handler panicked", "subject", r.Subject(), "panic", p)
			s.fail(r, domain.Errorf(domain.Internal, "internal error; the node's log has the cause"))
		}
	}()
	last := r.Subject()[strings.LastIndexByte(r.Subject(), '.')+1:]
	out, err := h(ctx, last, r)
	if err != nil {
		s.fail(r, err)
		return
	}
	if err := r.RespondJSON(out); err != nil {
		s.Log.Warn("a reply could not be sent", "subject", r.Subject(), "error", err)
	}
}

// fail answers with an error: its code in the micro service header, the whole
// of it as the body.
func (s *server) fail(r micro.Request, err error) {
	public := domain.Public(err)
	if public.Code == domain.Internal || public.Code == domain.Unavailable {
		s.Log.Error("a request failed", "subject", r.Subject(), "error", err)
	}
	body, _ := json.Marshal(public) // strings and plain details
	message := strings.NewReplacer("\r", " ", "\n", " ").Replace(public.Message)
	if err := r.Error(string(public.Code), message, body); err != nil {
		s.Log.Warn("an error could not be sent", "subject", r.Subject(), "error", err)
	}
}

func (s *server) info(context.Context, string, micro.Request) (any, error) {
	return Info{
		Namespace: string(s.Namespace), Version: s.Version, CurveKey: s.CurveKey,
		Commands: commands.Names(), Queries: queries.Names(),
	}, nil
}

func (s *server) command(ctx context.Context, name string, r micro.Request) (any, error) {
	return s.Commands.Run(ctx, name, commands.Door{Traceparent: r.Headers().Get("traceparent")}, r.Data())
}

func (s *server) query(ctx context.Context, name string, r micro.Request) (any, error) {
	return s.Queries.Run(ctx, name, r.Data())
}

// TokenRequest is the body of a request to outlink.token.get.<link>.
type TokenRequest struct {
	Subject string `json:"subject,omitempty"`
	MinTTL  string `json:"min_ttl,omitempty"` // a duration: "30s"
}

// TokenReply is the answer: an access token, in clear.
type TokenReply struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresAt   time.Time `json:"expires_at"`
	Scopes      []string  `json:"scopes"`
	Generation  uint64    `json:"generation"`
}

func (s *server) token(ctx context.Context, last string, r micro.Request) (any, error) {
	id, err := uuid.Parse(last)
	if err != nil {
		return nil, domain.Errorf(domain.InvalidArgument, "the subject must end in a link's id")
	}
	var q TokenRequest
	if len(r.Data()) > 0 {
		dec := json.NewDecoder(strings.NewReader(string(r.Data())))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&q); err != nil {
			return nil, domain.Errorf(domain.InvalidArgument, "the token request is not readable: %v", err)
		}
	}
	var ttl time.Duration
	if q.MinTTL != "" {
		if ttl, err = time.ParseDuration(q.MinTTL); err != nil {
			return nil, domain.Errorf(domain.InvalidArgument, `min_ttl %q is no duration; write it like "30s"`, q.MinTTL)
		}
	}
	t, err := s.Tokens.Get(ctx, tokens.Request{Link: id, Subject: q.Subject, MinTTL: ttl, Actor: "reader"})
	if err != nil {
		return nil, err
	}
	return TokenReply{AccessToken: t.AccessToken.Reveal(), TokenType: t.TokenType, ExpiresAt: t.ExpiresAt, Scopes: t.Scopes, Generation: t.Generation}, nil
}
