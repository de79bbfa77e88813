package natsconfig

import (
	"bytes"
	"fmt"

	"github.com/nats-io/nkeys"
)

// File is a secret to be kept apart from the configuration.
type File struct {
	Name    string
	Content []byte
}

// ring holds keys by the names of their files; those that were made before stay
// what they are, so that adding a user locks nobody out.
type ring struct {
	before map[string][]byte
	files  []File
}

func newRing(before []File) *ring {
	r := &ring{before: map[string][]byte{}}
	for _, f := range before {
		r.before[f.Name] = bytes.TrimSpace(f.Content)
	}
	return r
}

// pair returns the key in a file, and makes it when it is missing.
func (r *ring) pair(file string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	if seed, ok := r.before[file]; ok {
		pair, err := nkeys.FromSeed(seed)
		if err != nil {
			return nil, fmt.Errorf("%s holds no seed: %w", file, err)
		}
		r.files = append(r.files, File{Name: file, Content: append(bytes.Clone(seed), '\n')})
		return pair, nil
	}
	pair, err := create()
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	r.files = append(r.files, File{Name: file, Content: append(seed, '\n')})
	return pair, nil
}

func (r *ring) public(file string, create func() (nkeys.KeyPair, error)) (string, error) {
	pair, err := r.pair(file, create)
	if err != nil {
		return "", err
	}
	return pair.PublicKey()
}
