package bus

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"outlink/domain"
)

// Connect connects to NATS as somebody. Its errors show nothing of what a URL has
// before its host: that may be a password.
func Connect(server string, a Access, more ...nats.Option) (*nats.Conn, error) {
	options, err := a.Options()
	if err == nil {
		err = a.files()
	}
	if err != nil {
		return nil, domain.Errorf(domain.InvalidArgument, "%v", err)
	}
	nc, err := nats.Connect(server, append(options, more...)...)
	var unreadable *url.Error
	switch {
	case err == nil:
		return nc, nil
	case errors.As(err, &unreadable): // it quotes the URL, or a part of it
		return nil, domain.Errorf(domain.InvalidArgument, "the URL of NATS %s cannot be read; write it as nats://HOST:PORT", redactURL(server))
	case slices.ContainsFunc(unknown, func(e error) bool { return errors.Is(err, e) }):
		return nil, domain.Errorf(domain.Unauthenticated, "NATS at %s does not let this user in: %v; give the nats-creds or nats-nkey of one that it knows", redactURL(server), err)
	}
	return nil, fmt.Errorf("connect to NATS at %s: %w", redactURL(server), err)
}

// unknown are the answers to who may not connect, now or any more.
var unknown = []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired}

// redactURL drops what a NATS URL may carry before its host.
func redactURL(u string) string {
	if i := strings.LastIndexByte(u, '@'); i >= 0 {
		return "…" + u[i:]
	}
	return u
}
