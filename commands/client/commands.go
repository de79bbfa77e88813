package client

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
)

// Each method runs one command and returns its outcome. A command without an id
// gets one. While nobody answers, or the answer is "unavailable", the same
// command is sent again under the same id until the context's deadline (30 s
// without one), so that it has one effect however often it arrives.

// CreateOutgoingLink configures a link to a provider.
func (c Client) CreateOutgoingLink(ctx context.Context, cmd commands.CreateOutgoingLink) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// UpdateOutgoingLink changes a link's configuration.
func (c Client) UpdateOutgoingLink(ctx context.Context, cmd commands.UpdateOutgoingLink) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// ReplaceClientSecret gives a link a new client secret.
func (c Client) ReplaceClientSecret(ctx context.Context, cmd commands.ReplaceClientSecret) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// DisableLink takes a link out of service.
func (c Client) DisableLink(ctx context.Context, cmd commands.DisableLink) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// EnableLink puts a disabled link back into service.
func (c Client) EnableLink(ctx context.Context, cmd commands.EnableLink) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// DeleteLink deletes a link, revokes its grants and shreds its keys.
func (c Client) DeleteLink(ctx context.Context, cmd commands.DeleteLink) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// BeginAuthorization opens an authorization; the outcome has the URL for the
// person's browser.
func (c Client) BeginAuthorization(ctx context.Context, cmd commands.BeginAuthorization) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// RecordTokenIssued imports a credential that another system held.
func (c Client) RecordTokenIssued(ctx context.Context, cmd commands.RecordTokenIssued) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// RequestRefresh asks for a refresh before it is due.
func (c Client) RequestRefresh(ctx context.Context, cmd commands.RequestRefresh) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// RequestToken has the client of a link get tokens for itself, without a person.
func (c Client) RequestToken(ctx context.Context, cmd commands.RequestToken) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// ReportTokenRejected says that a resource server refused an access token.
func (c Client) ReportTokenRejected(ctx context.Context, cmd commands.ReportTokenRejected) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// SuspendGrant takes a grant out of service.
func (c Client) SuspendGrant(ctx context.Context, cmd commands.SuspendGrant) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// ResumeGrant puts a suspended grant back into service.
func (c Client) ResumeGrant(ctx context.Context, cmd commands.ResumeGrant) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// RevokeGrant revokes a grant at the provider and shreds its key.
func (c Client) RevokeGrant(ctx context.Context, cmd commands.RevokeGrant) (commands.Outcome, error) {
	return c.run(ctx, cmd)
}

// named is a command with what every command has.
type named struct {
	name    string
	body    any
	header  *commands.Header
	secrets []*domain.SecretInput
}

// name tells a command by its type. What a pointer points to stays as it is.
func name(command any) (named, error) {
	if p := reflect.ValueOf(command); p.Kind() == reflect.Pointer && !p.IsNil() {
		command = p.Elem().Interface()
	}
	switch cmd := command.(type) {
	case commands.CreateOutgoingLink:
		return named{"CreateOutgoingLink", &cmd, &cmd.Header, []*domain.SecretInput{&cmd.ClientSecret}}, nil
	case commands.UpdateOutgoingLink:
		return named{"UpdateOutgoingLink", &cmd, &cmd.Header, nil}, nil
	case commands.ReplaceClientSecret:
		return named{"ReplaceClientSecret", &cmd, &cmd.Header, []*domain.SecretInput{&cmd.ClientSecret}}, nil
	case commands.DisableLink:
		return named{"DisableLink", &cmd, &cmd.Header, nil}, nil
	case commands.EnableLink:
		return named{"EnableLink", &cmd, &cmd.Header, nil}, nil
	case commands.DeleteLink:
		return named{"DeleteLink", &cmd, &cmd.Header, nil}, nil
	case commands.BeginAuthorization:
		return named{"BeginAuthorization", &cmd, &cmd.Header, nil}, nil
	case commands.RecordTokenIssued:
		return named{"RecordTokenIssued", &cmd, &cmd.Header, []*domain.SecretInput{&cmd.AccessToken, &cmd.RefreshToken}}, nil
	case commands.RequestToken:
		return named{"RequestToken", &cmd, &cmd.Header, nil}, nil
	case commands.RequestRefresh:
		return named{"RequestRefresh", &cmd, &cmd.Header, nil}, nil
	case commands.ReportTokenRejected:
		return named{"ReportTokenRejected", &cmd, &cmd.Header, nil}, nil
	case commands.SuspendGrant:
		return named{"SuspendGrant", &cmd, &cmd.Header, nil}, nil
	case commands.ResumeGrant:
		return named{"ResumeGrant", &cmd, &cmd.Header, nil}, nil
	case commands.RevokeGrant:
		return named{"RevokeGrant", &cmd, &cmd.Header, nil}, nil
	}
	return named{}, domain.Errorf(domain.InvalidArgument, "%T is no command; give a struct of package commands", command)
}

func (c Client) run(ctx context.Context, command any) (commands.Outcome, error) {
	msg, _, err := c.message(ctx, ".command.", command)
	if err != nil {
		return commands.Outcome{}, err
	}
	var out commands.Outcome
	return out, c.persist(ctx, msg, &out)
}

// message encodes a command once, so that every try sends the same: with an id,
// and with its secrets sealed.
func (c Client) message(ctx context.Context, door string, command any) (*nats.Msg, uuid.UUID, error) {
	n, err := name(command)
	if err != nil {
		return nil, uuid.Nil, err
	}
	if n.header.CommandID == uuid.Nil {
		n.header.CommandID = uuid.Must(uuid.NewV7())
	}
	for _, in := range n.secrets {
		if in.Sealed != nil || in.Clear.IsZero() {
			continue
		}
		if *in, err = c.Seal(ctx, in.Clear); err != nil {
			return nil, uuid.Nil, err
		}
	}
	msg := nats.NewMsg(c.Namespace + door + n.name)
	if msg.Data, err = json.Marshal(n.body); err != nil {
		return nil, uuid.Nil, fmt.Errorf("encode %s: %w", n.name, err)
	}
	if n.header.Traceparent != "" {
		msg.Header.Set("traceparent", n.header.Traceparent)
	}
	return msg, n.header.CommandID, nil
}
