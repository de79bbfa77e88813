package node_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/internal/bus"
)

// A command that had its effect when its node was killed, before its answer was
// remembered, comes again after another one to the same link or grant: it has no
// second effect, and is not refused for what the other one did.
func TestEffectWithoutOutcome(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	secret := map[string]any{"client_id": "id", "client_secret": clientSecret, "scopes": []string{"a"}, "provider": "custom",
		"grant_types":            []string{"authorization_code", "client_credentials"},
		"authorization_endpoint": o.URL + "/authorize", "token_endpoint": o.URL + "/token"}
	token := map[string]any{"refresh_token": "rt", "access_token": "at", "expires_at": time.Now().Add(time.Hour)}
	for _, tt := range []struct {
		command string
		body    map[string]any
		then    string
		with    map[string]any
	}{
		{"DisableLink", nil, "EnableLink", nil},
		{"CreateOutgoingLink", secret, "UpdateOutgoingLink", map[string]any{"client_id": "other"}},
		{"UpdateOutgoingLink", map[string]any{"client_id": "first"}, "UpdateOutgoingLink", map[string]any{"client_id": "second"}},
		{"ReplaceClientSecret", map[string]any{"client_secret": clientSecret}, "ReplaceClientSecret", map[string]any{"client_secret": clientSecret + "2"}},
		{"BeginAuthorization", nil, "DisableLink", nil},
		{"RecordTokenIssued", token, "DisableLink", nil},
		{"RequestRefresh", nil, "DisableLink", nil},
		{"RequestToken", map[string]any{"subject": "itself"}, "DisableLink", nil},
		{"SuspendGrant", nil, "ResumeGrant", nil},
	} {
		t.Run(tt.command, func(t *testing.T) {
			id := uuid.New()
			send := func(command string, own uuid.UUID, members map[string]any, again bool) commands.Outcome {
				t.Helper()
				body := map[string]any{"command_id": own, "link_id": id}
				for k, v := range members {
					body[k] = v
				}
				return i.send(t, command, body, again)
			}
			x := uuid.New()
			if secret["name"] = id; tt.command != "CreateOutgoingLink" {
				send("CreateOutgoingLink", uuid.New(), secret, false)
			}
			if tt.command != "RecordTokenIssued" && tt.command != "CreateOutgoingLink" {
				send("RecordTokenIssued", uuid.New(), token, false)
			}
			first := send(tt.command, x, tt.body, false)
			kv, err := i.js().KeyValue(i.ctx(), i.node.Namespace.Outcomes())
			if err != nil {
				t.Fatal(err)
			}
			if err := kv.Purge(i.ctx(), x.String()); err != nil {
				t.Fatal(err)
			}
			send(tt.then, uuid.New(), tt.with, false)
			second := send(tt.command, x, tt.body, true)
			same := tt.command == "CreateOutgoingLink" // whose event answers for ever
			if n := i.effects(x); n != 1 || second.Link != first.Link || (len(second.Events) != 0) != same || second.Sequence == 0 {
				t.Errorf("%d effects; first %+v, then %+v", n, first, second)
			}
		})
	}
}

// send sends a command as a request, perhaps as one that may have come before.
func (i *installation) send(t *testing.T, command string, body any, again bool) (out commands.Outcome) {
	t.Helper()
	msg := nats.NewMsg(i.node.Namespace.Command(command))
	msg.Data, _ = json.Marshal(body)
	if again {
		msg.Header.Set(bus.HeaderAgain, "1")
	}
	reply, err := i.nc.RequestMsgWithContext(i.ctx(), msg)
	if err != nil {
		t.Fatal(err)
	}
	if code := reply.Header.Get("Nats-Service-Error-Code"); code != "" {
		t.Fatalf("%s: %s", command, reply.Data)
	}
	if err := json.Unmarshal(reply.Data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
