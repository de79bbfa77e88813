package microapi

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

type request struct {
	micro.Request
	reply, info, subject string
}

func (r request) Reply() string   { return r.reply }
func (r request) Subject() string { return r.subject }
func (r request) Headers() micro.Headers {
	return micro.Headers(nats.Header{requestInfo: {r.info}})
}

func TestCaller(t *testing.T) {
	for name, tt := range map[string]struct{ reply, info, want string }{
		"own inbox":                       {"_INBOX_billing.a.b", "", "billing"},
		"name with a dash":                {"_INBOX_team-1.a", "", "team-1"},
		"common inbox":                    {"_INBOX.a.b", "", ""},
		"own inbox, forged info":          {"_INBOX_billing.a", `{"acc":"crm"}`, "billing"},
		"common inbox, forged info":       {"_INBOX.a", `{"acc":"crm"}`, ""},
		"imported":                        {"_R_.a", `{"acc":"crm"}`, "crm"},
		"imported in operator mode":       {"_R_.a", `{"acc":"ABC","name_tag":"crm"}`, "crm"},
		"imported by who does not share":  {"_R_.a", "", ""},
		"imported, info is not readable":  {"_R_.a", "{", ""},
		"no reply":                        {"", "", ""},
		"a reply that names the log":      {"outlink.events.link.x", "", ""},
		"a prefix that is no inbox's own": {"_INBOXES_billing.a", "", ""},
	} {
		if got := caller(request{reply: tt.reply, info: tt.info}); got != tt.want {
			t.Errorf("%s: caller = %q, want %q", name, got, tt.want)
		}
	}
}
