package domain

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what a secret shows of itself.
const Redacted = "[redacted]"

// Secret is a client secret, token or key. It sits behind a pointer because a
// plain value leaks through %v from an unexported struct field, where fmt cannot
// call methods. Every way of printing it gives [Redacted].
type Secret struct{ p *box }

type box struct{ b []byte }

// NewSecret boxes s.
func NewSecret(s string) Secret { return Secret{&box{[]byte(s)}} }

// Reveal returns the secret itself. Hand it to the cipher or to the token
// endpoint, and to nothing else.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return string(s.p.b)
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.p == nil || len(s.p.b) == 0 }

// Equal compares in constant time.
func (s Secret) Equal(t Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(t.Reveal())) == 1
}

// Format implements fmt.Formatter for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

func (s Secret) String() string               { return Redacted }
func (s Secret) GoString() string             { return Redacted }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(Redacted) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(Redacted) }

// MarshalBinary refuses: a binary encoding would hide that the secret is gone.
func (s Secret) MarshalBinary() ([]byte, error) { return nil, errors.New("a secret is not encodable") }

// GobEncode refuses, as MarshalBinary.
func (s Secret) GobEncode() ([]byte, error) { return s.MarshalBinary() }

// Sealed is a secret in a command, sealed to the namespace's curve key (nkeys
// xkey, X25519): it may rest in a stream without being read.
type Sealed struct {
	From       string `json:"from"`       // the sender's public curve key, "X…"
	Ciphertext []byte `json:"ciphertext"` // base64 in JSON
}

// SecretInput is how a secret travels in a command: a JSON string (clear, taken
// by the request door only) or an object of the shape of [Sealed].
type SecretInput struct {
	Clear  Secret
	Sealed *Sealed
}

// IsZero reports whether nothing was given.
func (s SecretInput) IsZero() bool { return s.Sealed == nil && s.Clear.IsZero() }

var errSecret = errors.New(`a secret is a string, or {"from": <public curve key>, "ciphertext": <base64>}`)

// UnmarshalJSON takes either form. Its errors never repeat the input.
func (s *SecretInput) UnmarshalJSON(b []byte) error {
	*s = SecretInput{}
	if string(b) == "null" {
		return nil
	}
	var text string
	if json.Unmarshal(b, &text) == nil {
		s.Clear = NewSecret(text)
		return nil
	}
	var sealed Sealed
	if Strictly(b, &sealed) != nil || sealed.From == "" || len(sealed.Ciphertext) == 0 {
		return errSecret
	}
	s.Sealed = &sealed
	return nil
}

// MarshalJSON writes the sealed form, and refuses to write a clear secret.
func (s SecretInput) MarshalJSON() ([]byte, error) {
	switch {
	case s.Sealed != nil:
		return json.Marshal(s.Sealed)
	case s.Clear.IsZero():
		return []byte("null"), nil
	}
	return nil, errors.New("a clear secret is not encodable: seal it first")
}
