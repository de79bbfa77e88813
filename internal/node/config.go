package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/webhook"
)

// The roles that a node may take.
const (
	RoleAPI         = "api"         // HTTP, queries and tokens over NATS
	RoleCommands    = "commands"    // commands over NATS, requested and submitted
	RoleProjections = "projections" // keeps the read model
	RoleTimers      = "timers"      // schedules, the sweep, and erasure
	RoleRefresh     = "refresh"     // renews tokens
)

// Roles is every role.
func Roles() []string {
	return []string{RoleAPI, RoleCommands, RoleProjections, RoleTimers, RoleRefresh}
}

// Config is what a node has to know.
type Config struct {
	Namespace       bus.Namespace
	NATS            string         // URL of the NATS server or cluster
	Access          bus.Access     // who this node is to NATS
	Database        string         // postgres://… or cockroach's URL, or sqlite:PATH
	HTTP            string         // host:port to listen on; port 0 chooses one
	HTTPCert        string         // PEM file: then HTTP is over TLS
	HTTPKey         string         // PEM file: the certificate's key
	HTTPClientCA    string         // PEM file: then HTTP clients need a certificate that it signed
	PublicURL       string         // where browsers reach this installation; empty: the HTTP address
	KEKFile         string         // Tink keyset in JSON, mode 0600
	JournalDir      string         // where answers wait for the log; on a disk that outlives the process, and no other node's
	JournalSize     int64          // bytes of its file; 0: the default
	TokenCache      int            // grants whose tokens this node keeps in memory; 0: the default
	WebhookURL      string         // where notices are sent; empty: nowhere
	WebhookSecret   domain.Secret  // to sign them (Standard Webhooks)
	Name            string         // of the node, for people
	Roles           []string       // subset of [Roles]
	Replicas        int            // of streams and buckets, when they are declared
	AllowedPrefixes []netip.Prefix // addresses that endpoints may have although they are not public
	Dev             bool           // loopback endpoints without TLS; only with a loopback listener
	Migrate         bool           // declare streams and tables at the start, and make the KEK file
}

// Check reports everything that is wrong at once.
func (c Config) Check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := c.Namespace.Check(); err != nil {
		errs = append(errs, err)
	}
	if c.NATS == "" {
		add("nats: give the URL of the NATS server, such as nats://127.0.0.1:4222")
	}
	if err := c.Access.Check(); err != nil {
		errs = append(errs, err)
	}
	if (c.HTTPCert == "") != (c.HTTPKey == "") || c.HTTPClientCA != "" && c.HTTPCert == "" {
		add("http-tls-cert and http-tls-key: give both or none; http-tls-client-ca needs both")
	}
	if c.Database == "" {
		add("database: give postgres://… (CockroachDB, PostgreSQL) or sqlite:PATH")
	}
	if c.KEKFile == "" {
		add("kek-file: give the file of the key encryption key")
	}
	if c.Name == "" || strings.ContainsAny(c.Name, " \t\r\n") {
		add("node %q: give a name without spaces that this node keeps", c.Name)
	}
	if c.JournalDir == "" && c.has(RoleRefresh) {
		add("journal: give a directory on a disk that outlives the process; a node that refreshes needs one")
	}
	if c.WebhookURL != "" {
		if _, err := webhook.New(c.WebhookURL, c.WebhookSecret); err != nil {
			add("webhook: %w", err)
		}
	}
	if len(c.Roles) == 0 && !c.Migrate {
		add("roles: give at least one of %s", strings.Join(Roles(), ", "))
	}
	for _, r := range c.Roles {
		if !slices.Contains(Roles(), r) {
			add("role %q: the roles are %s", r, strings.Join(Roles(), ", "))
		}
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		add("replicas %d: use 1, 3 or 5", c.Replicas)
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.User != nil {
		add("public-url: leave out the user and the password; browsers would show them, and links keep them")
	} else if c.PublicURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "") {
		add("public-url %q: give scheme and host only, such as https://outlink.example.com", c.PublicURL)
	} else if err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		add("public-url %q: plain http is for this machine only; browsers would send the callback in clear", c.PublicURL)
	}
	host, _, err := net.SplitHostPort(c.HTTP)
	if err != nil {
		add("http %q: write the address as host:port", c.HTTP)
	} else if c.Dev && !loopback(host) {
		add("http %q: development mode allows endpoints without TLS, so it listens on a loopback address only", c.HTTP)
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (c Config) has(role string) bool { return slices.Contains(c.Roles, role) }
