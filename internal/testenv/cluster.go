package testenv

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSCluster is three NATS servers in this process, with JetStream.
type NATSCluster struct {
	t       testing.TB
	options []*server.Options
	servers []*server.Server
}

// Cluster starts a cluster and waits until it has a leader.
func Cluster(t testing.TB) *NATSCluster {
	t.Helper()
	c := &NATSCluster{t: t}
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		_ = l.Close()
	}
	dir := t.TempDir()
	for i, port := range ports {
		name := fmt.Sprintf("n%d", i)
		c.options = append(c.options, &server.Options{
			ServerName: name, Host: "127.0.0.1", Port: server.RANDOM_PORT,
			JetStream: true, StoreDir: filepath.Join(dir, name), SyncAlways: true, NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: "outlink", Host: "127.0.0.1", Port: port}, Routes: routes,
		})
		c.servers = append(c.servers, nil)
		c.Start(i)
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.Stop(i)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for i, s := range c.servers {
		for !s.ReadyForConnections(100*time.Millisecond) || !s.JetStreamIsCurrent() || len(s.JetStreamClusterPeers()) < len(ports) && s.JetStreamIsLeader() {
			if time.Now().After(deadline) {
				t.Fatalf("server %d of the cluster did not come up", i)
			}
			time.Sleep(20 * time.Millisecond) // other goroutines elect
		}
	}
	return c
}

// Start starts a server, again on the port that it had.
func (c *NATSCluster) Start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.options[i].Clone())
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		c.t.Fatalf("server %d does not start", i)
	}
	c.options[i].Port = s.Addr().(*net.TCPAddr).Port
	c.servers[i] = s
}

// Stop ends a server as a machine that goes away.
func (c *NATSCluster) Stop(i int) {
	c.servers[i].Shutdown()
	c.servers[i].WaitForShutdown()
}

// Index is the place of the server of that name.
func (c *NATSCluster) Index(name string) int {
	for i, o := range c.options {
		if o.ServerName == name {
			return i
		}
	}
	c.t.Fatalf("the cluster has no server %q", name)
	return 0
}

// URL names all servers.
func (c *NATSCluster) URL() string {
	all := make([]string, 0, len(c.servers))
	for _, s := range c.servers {
		all = append(all, s.ClientURL())
	}
	return strings.Join(all, ",")
}
