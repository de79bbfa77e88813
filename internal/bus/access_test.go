package bus_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"outlink/internal/bus"
)

func TestAccessInbox(t *testing.T) {
	dir := t.TempDir()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"billing.nk", "my.old.nk", "crm.creds"} {
		if err := os.WriteFile(filepath.Join(dir, name), seed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		access bus.Access
		want   string
	}{
		"nobody":                 {bus.Access{}, ""},
		"named after the nkey":   {bus.Access{NKey: filepath.Join(dir, "billing.nk")}, "_INBOX_billing"},
		"named after the creds":  {bus.Access{Creds: filepath.Join(dir, "crm.creds")}, "_INBOX_crm"},
		"given":                  {bus.Access{NKey: filepath.Join(dir, "billing.nk"), Inbox: "_INBOX_x"}, "_INBOX_x"},
		"a name that is no part": {bus.Access{NKey: filepath.Join(dir, "my.old.nk")}, ""},
	} {
		options, err := tt.access.Options()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		o := nats.GetDefaultOptions()
		for _, set := range options {
			if err := set(&o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if o.InboxPrefix != tt.want {
			t.Errorf("%s: prefix %q, want %q", name, o.InboxPrefix, tt.want)
		}
	}
}

func TestAccessCheck(t *testing.T) {
	for name, a := range map[string]bus.Access{
		"two identities":              {Creds: "a", NKey: "b"},
		"a certificate without a key": {Cert: "a"},
		"a key without a certificate": {Key: "a"},
		"a wildcard":                  {Inbox: "_INBOX.>"},
		"an empty token":              {Inbox: "_INBOX."},
	} {
		if a.Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
