package client

import (
	"encoding/json"
	"errors"

	"github.com/nats-io/nkeys"

	"outlink/domain"
)

// WithReaderSeed returns a client that opens the token replies which are sealed to
// a reader's registered curve key (outlink reader register). The seed, "SX…", is
// the key's private half. Everything of the client opens them: Token, TokenSource,
// HTTPClient.
func (c Client) WithReaderSeed(seed domain.Secret) (Client, error) {
	pair, err := nkeys.FromCurveSeed([]byte(seed.Reveal()))
	if err != nil {
		return c, domain.Errorf(domain.InvalidArgument, `the seed is none of a curve key: it begins with "SX"; make one: outlink reader register NAME --generate`)
	}
	c.reader = pair
	return c, nil
}

// opened reads a token reply, sealed or not.
func (c Client) opened(reply []byte) (t Token, err error) {
	var sealed domain.Sealed
	if json.Unmarshal(reply, &sealed) == nil && len(sealed.Ciphertext) > 0 {
		if reply, err = c.unseal(sealed); err != nil {
			return t, err
		}
	}
	if err := json.Unmarshal(reply, &t); err != nil {
		return t, errors.New("decode a token: the answer is none that this version knows") // what is wrong could repeat some of it
	}
	return t, nil
}

func (c Client) unseal(s domain.Sealed) ([]byte, error) {
	if c.reader == nil {
		return nil, domain.Errorf(domain.FailedPrecondition, "the token is sealed to this reader's registered key; give the client its seed (WithReaderSeed, --reader-seed-file)")
	}
	plain, err := c.reader.Open(s.Ciphertext, s.From)
	if err != nil {
		public, _ := c.reader.PublicKey() // cannot fail for a key that was made from a seed
		return nil, domain.Errorf(domain.FailedPrecondition, "the token is sealed to another key than %s; see: outlink reader ls", public)
	}
	return plain, nil
}
