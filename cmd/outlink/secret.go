package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"outlink/domain"
)

// secretFile reads a secret from a file, or from standard input for "-".
func (a *app) secretFile(ctx context.Context, path string) (domain.Secret, error) {
	var b []byte
	var err error
	if path == "-" {
		path = "standard input"
		b, err = a.readSecret(ctx)
	} else {
		b, err = os.ReadFile(path)
	}
	if ctx.Err() != nil {
		return domain.Secret{}, ctx.Err()
	}
	if err != nil {
		return domain.Secret{}, usage(fmt.Sprintf("read the secret: %v", err))
	}
	s := strings.TrimRight(string(b), "\r\n")
	switch {
	case s == "":
		return domain.Secret{}, usage(path + " is empty; it should hold the secret")
	case strings.Contains(s, "\n") && !strings.Contains(s, pemBegins) && !strings.HasPrefix(strings.TrimSpace(s), "{"):
		return domain.Secret{}, usage(path + " has more than one line; a secret is one line, unless it is PEM or JSON")
	}
	return domain.NewSecret(s), nil
}

// pemBegins is how a key or certificate in PEM begins.
const pemBegins = "-----BEGIN "

// readSecret reads standard input, or what a person types. The reading itself
// cannot be interrupted; the waiting for it can.
func (a *app) readSecret(ctx context.Context) ([]byte, error) {
	read := func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.in, 64<<10)) }
	if isTerminal(a.in) {
		terminal := int(a.in.(*os.File).Fd())
		shown, err := term.GetState(terminal)
		if err != nil {
			return nil, err
		}
		defer func() { _ = term.Restore(terminal, shown) }()
		fmt.Fprint(a.err, "The secret, which is not shown (Enter ends it; a key in PEM, Ctrl-D): ")
		defer fmt.Fprintln(a.err)
		read = func() ([]byte, error) { return typed(terminal) }
	}
	var b []byte
	var err error
	done := make(chan struct{})
	go func() { b, err = read(); close(done) }()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-done:
		return b, err
	}
}

// typed reads a line of a terminal without showing it, or all lines of a key.
func typed(terminal int) ([]byte, error) {
	var all []byte
	for {
		line, err := term.ReadPassword(terminal)
		all = append(append(all, line...), '\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil || !bytes.HasPrefix(all, []byte(pemBegins)) {
			return all, err
		}
	}
}
