// Package natsd runs a NATS server with JetStream inside this process: for
// `outlink dev` and for tests. Production runs its own cluster.
package natsd

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is a running server.
type Server struct{ s *server.Server }

// Start runs a server that stores under dir and listens on addr, which must be
// a loopback address; port 0 chooses one. Every write is synced before it is
// acknowledged, because it may be a rotated refresh token.
func Start(dir, addr string) (*Server, error) {
	host, port, err := split(addr)
	if err != nil {
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
	if !s.ReadyForConnections(30 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("NATS did not come up on %s within 30 s: is the address taken, or %s in use by another process?", addr, dir)
	}
	return &Server{s}, nil
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
