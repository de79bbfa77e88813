// Package client is the Go client of Outlink: it sends commands and queries over
// NATS and fetches access tokens.
//
// Secrets in commands are sealed to the namespace's curve key before they leave
// this process. Errors of the service come back as *domain.Error.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"outlink/domain"
)

// Client talks to one namespace. All fields are required.
type Client struct {
	NC        *nats.Conn
	Namespace string
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
	return info, c.request(ctx, c.Namespace+".info", nil, &info)
}

// Do runs a command: a struct of package commands, or anything that encodes to
// the same JSON. The outcome goes into out.
func (c Client) Do(ctx context.Context, command string, body, out any) error {
	return c.request(ctx, c.Namespace+".command."+command, body, out)
}

// Query asks the read model.
func (c Client) Query(ctx context.Context, query string, body, out any) error {
	return c.request(ctx, c.Namespace+".query."+query, body, out)
}

// Token is an access token. It holds the token in clear: do not log it.
type Token struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresAt   time.Time `json:"expires_at"`
	Scopes      []string  `json:"scopes"`
	Generation  uint64    `json:"generation"`
}

// Token fetches an access token that lives at least minTTL, if the provider
// gives such; 0 means 30 s. An empty subject means "default".
func (c Client) Token(ctx context.Context, link uuid.UUID, subject string, minTTL time.Duration) (Token, error) {
	q := map[string]string{"subject": subject}
	if minTTL > 0 {
		q["min_ttl"] = minTTL.String()
	}
	var t Token
	return t, c.request(ctx, c.Namespace+".token.get."+link.String(), q, &t)
}

// Seal seals a secret to the namespace.
func (c Client) Seal(ctx context.Context, secret domain.Secret) (domain.SecretInput, error) {
	if secret.IsZero() {
		return domain.SecretInput{}, nil
	}
	info, err := c.Info(ctx)
	if err != nil {
		return domain.SecretInput{}, err
	}
	own, err := nkeys.CreateCurveKeys()
	if err != nil {
		return domain.SecretInput{}, err
	}
	from, err := own.PublicKey()
	if err != nil {
		return domain.SecretInput{}, err
	}
	box, err := own.Seal([]byte(secret.Reveal()), info.CurveKey)
	if err != nil {
		return domain.SecretInput{}, fmt.Errorf("seal to curve key %s: %w", info.CurveKey, err)
	}
	return domain.SecretInput{Sealed: &domain.Sealed{From: from, Ciphertext: box}}, nil
}

func (c Client) request(ctx context.Context, subject string, body, out any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the request to %s: %w", subject, err)
		}
	}
	msg, err := c.NC.RequestWithContext(ctx, subject, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return domain.Errorf(domain.Unavailable, "nobody answers %s; is a node with that role running, in namespace %q?", subject, c.Namespace)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return domain.Errorf(domain.Unavailable, "%s did not answer in time", subject)
	case err != nil:
		return fmt.Errorf("request %s: %w", subject, err)
	}
	if msg.Header.Get(micro.ErrorCodeHeader) != "" {
		e := &domain.Error{}
		if json.Unmarshal(msg.Data, e) != nil || e.Code == "" {
			e = domain.Errorf(domain.Internal, "%s", msg.Header.Get(micro.ErrorHeader))
		}
		return e
	}
	if err := json.Unmarshal(msg.Data, out); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", subject, err)
	}
	return nil
}
