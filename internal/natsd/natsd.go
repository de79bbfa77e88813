// Package natsd runs a NATS server with JetStream inside this process: for
// `outlink dev` and for tests. Production runs its own cluster.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"outlink/domain"
)

// Server is a running server.
type Server struct{ s *server.Server }

// Start is StartContext without an early end.
func Start(dir, addr string) (*Server, error) { return StartContext(context.Background(), dir, addr) }

// startWithin is how long a server may take to read what it has stored.
const startWithin = 30 * time.Second

// StartContext runs a server that stores under dir and listens on addr, which
// must be a loopback address; port 0 chooses one. Every write is synced before it
// is acknowledged, because it may be a rotated refresh token. The context ends the
// wait for the server, not the server.
func StartContext(ctx context.Context, dir, addr string) (*Server, error) {
	host, port, err := split(addr)
	if err != nil {
		return nil, err
	}
	if err := free(ctx, addr); err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "outlink-dev", Host: host, Port: port,
		JetStream: true, StoreDir: dir, SyncAlways: true,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		return nil, fmt.Errorf("configure NATS: %w", err)
	}
	s.Start()
	for deadline := time.Now().Add(startWithin); !s.ReadyForConnections(50 * time.Millisecond); {
		if ctx.Err() != nil {
			s.Shutdown()
			return nil, ctx.Err()
		}
		if time.Now().After(deadline) {
			s.Shutdown()
			return nil, fmt.Errorf("NATS did not come up on %s within %s: is %s in use by another process?", addr, startWithin, dir)
		}
	}
	return &Server{s}, nil
}

// free says at once that an address is taken: the server itself would only log it.
func free(ctx context.Context, addr string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return domain.Errorf(domain.Unavailable, "NATS cannot listen on %s: %v", addr, errors.Unwrap(err))
	}
	return l.Close()
}

func split(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("NATS address %q: write it as host:port", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, fmt.Errorf("NATS address %q: the embedded server has no users, so it listens on a loopback address only", addr)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("NATS address %q: the port is a number up to 65535", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// URL is where clients connect.
func (s *Server) URL() string { return s.s.ClientURL() }

// Stop ends the server after it has stored what it acknowledged.
func (s *Server) Stop() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
}
