package bus_test

import (
	"strings"
	"testing"

	"outlink/domain"
	"outlink/internal/bus"
)

// An error of a connection names the server, and not what a URL has before it.
func TestConnectHidesPassword(t *testing.T) {
	for server, says := range map[string]string{
		"nats://u:s3cret@127.0.0.1:1":                    "…@127.0.0.1:1",
		"nats://s3cret@127.0.0.1:1":                      "…@127.0.0.1:1",
		"nats://127.0.0.1:1,nats://u:s3cret@127.0.0.1:2": "…@127.0.0.1:2",
		"nats://u:s3cret@127.0.0.1:99999x":               "…@127.0.0.1:99999x",
		"nats://u:s3cret%zz@127.0.0.1:1":                 "nats://HOST:PORT",
		"nats://u:s3cret/@127.0.0.1:1":                   "nats://HOST:PORT",
		"nats://u:s3cret@ho st:1":                        "nats://HOST:PORT",
		"nats://127.0.0.1:1x":                            `127.0.0.1:1x`,
	} {
		_, err := bus.Connect(server, bus.Access{})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", server, err, says)
		}
		if unreadable := strings.HasPrefix(says, "nats:"); unreadable && domain.CodeOf(err) != domain.InvalidArgument {
			t.Errorf("%s: %v is no error of usage", server, err)
		}
	}
}
