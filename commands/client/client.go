// Package client is the Go client of Outlink: it sends commands and queries over
// NATS, fetches access tokens, and follows the event log.
//
// Secrets in commands are sealed to the namespace's curve key before they leave
// this process; there is no way to send one in clear. Errors of the service come
// back as *domain.Error, for errors.As and [domain.CodeOf], with their details.
package client

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"outlink/domain"
)

// Client talks to one namespace. [New] makes one; a literal works too and asks
// for the namespace's curve key anew for every secret that it seals. Copies
// share what they have learned, and all may be used at once.
type Client struct {
	NC        *nats.Conn
	Namespace string

	key    *curveKey
	reader nkeys.KeyPair // opens replies; nil: none is expected to be sealed
}

// New makes a client on a connection that stays the caller's. An empty namespace
// means "outlink".
func New(nc *nats.Conn, namespace string) Client {
	if namespace == "" {
		namespace = "outlink"
	}
	return Client{NC: nc, Namespace: namespace, key: &curveKey{}}
}

// Info is what a namespace says of itself.
type Info struct {
	Namespace string   `json:"namespace"`
	Version   string   `json:"version"`
	CurveKey  string   `json:"curve_key"`
	Commands  []string `json:"commands"`
	Queries   []string `json:"queries"`
}

// Info asks the namespace.
func (c Client) Info(ctx context.Context) (Info, error) {
	var info Info
	return info, c.ask(ctx, c.Namespace+".info", nil, &info)
}

// Do sends a command once, by its name: a struct of package commands, or anything
// that encodes to the same JSON. The outcome goes into out. The typed methods,
// such as [Client.CreateOutgoingLink], also seal secrets and try again.
func (c Client) Do(ctx context.Context, command string, body, out any) error {
	return c.ask(ctx, c.Namespace+".command."+command, body, out)
}

// Query asks the read model.
func (c Client) Query(ctx context.Context, query string, body, out any) error {
	return c.ask(ctx, c.Namespace+".query."+query, body, out)
}

// Operate asks a node for what only operators may do, by the operation's name.
func (c Client) Operate(ctx context.Context, operation string, body, out any) error {
	return c.ask(ctx, c.Namespace+".operate."+operation, body, out)
}

// Token is an access token. It holds the token in clear: do not log it.
type Token struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresAt   time.Time `json:"expires_at"`
	Scopes      []string  `json:"scopes"`
	Generation  uint64    `json:"generation"`
	DPoPProof   string    `json:"dpop_proof,omitempty"` // see [Client.BoundToken]
}

// Token fetches an access token that lives at least minTTL, if the provider
// gives such; 0 means 30 s. An empty subject means "default".
func (c Client) Token(ctx context.Context, link uuid.UUID, subject string, minTTL time.Duration) (Token, error) {
	return c.token(ctx, link, tokenRequest{Subject: subject}, minTTL)
}

type tokenRequest struct {
	Subject     string `json:"subject,omitempty"`
	MinTTL      string `json:"min_ttl,omitempty"`
	MinSequence uint64 `json:"min_sequence,omitempty"` // of an event that the answer knows of
	DPoP        *Proof `json:"dpop,omitempty"`
}

// AnyToken fetches an access token that is still valid, however soon it ends.
func (c Client) AnyToken(ctx context.Context, link uuid.UUID, subject string) (Token, error) {
	return c.token(ctx, link, tokenRequest{Subject: subject, MinTTL: "0s"}, 0)
}

func (c Client) token(ctx context.Context, link uuid.UUID, q tokenRequest, minTTL time.Duration) (t Token, err error) {
	if minTTL < 0 {
		return t, domain.Errorf(domain.InvalidArgument, "min_ttl is %s; use 0s to 24h", minTTL)
	}
	if minTTL > 0 {
		q.MinTTL = minTTL.String()
	}
	var reply json.RawMessage
	if err := c.ask(ctx, c.Namespace+".token.get."+link.String(), q, &reply); err != nil {
		return t, err
	}
	return c.opened(reply)
}
