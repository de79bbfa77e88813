package commands

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"outlink/domain"
)

// Submittable is what a command would be refused for at the submit door without
// being run. What it lets through has no secret in clear.
func Submittable(name string, body []byte) error {
	_, err := read(name, Door{Submitted: true}, body)
	return err
}

// redacted takes the place of a secret that was in clear.
var redacted = domain.Sealed{From: domain.Redacted}

// Shown is a command as a person may see it: without the secrets that it holds in
// clear. One that cannot be read is an error, for nobody knows where it has them.
func Shown(name string, body []byte) (json.RawMessage, error) {
	c, err := read(name, Door{}, body)
	if err != nil {
		return nil, err
	}
	for _, in := range secrets(c) {
		if !in.Clear.IsZero() {
			*in = domain.SecretInput{Sealed: &redacted}
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return b, nil
}

func read(name string, d Door, body []byte) (any, error) {
	c, ok := handlers[name]
	if !ok {
		return nil, unknown(name)
	}
	return c.read(d, body)
}

// ID is the id that a command gives itself; zero: none, or none that can be read.
func ID(body []byte) uuid.UUID {
	id, err := commandID(body)
	if err != nil {
		return uuid.Nil
	}
	return id
}

// WithID is a command with an id of its own if it has none.
func WithID(body []byte, id uuid.UUID) ([]byte, error) {
	if ID(body) != uuid.Nil {
		return body, nil
	}
	var members map[string]json.RawMessage
	if err := decode(body, &members); err != nil {
		return nil, err
	}
	members["command_id"] = json.RawMessage(`"` + id.String() + `"`)
	return json.Marshal(members)
}
