package node_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
)

// A command whose answer is no longer remembered, or never was because its node was
// killed before, comes again after others to the same link or grant: it has no
// second effect, and is not refused for what the others did. That holds for any
// kind of id, and whether or not the sender says that it repeats.
func TestEffectWithoutOutcome(t *testing.T) {
	for name, newID := range map[string]func() uuid.UUID{
		"random": uuid.New,
		"timed":  func() uuid.UUID { return uuid.Must(uuid.NewV7()) },
		"named":  func() uuid.UUID { return uuid.NewSHA1(uuid.New(), []byte("row 1")) },
	} {
		t.Run(name, func(t *testing.T) { testEffectWithoutOutcome(t, newID) })
	}
}

func testEffectWithoutOutcome(t *testing.T, newID func() uuid.UUID) {
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
		{"ReportTokenRejected", map[string]any{"generation": 1}, "SuspendGrant", nil},
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
			x := newID()
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
			same := tt.command == "CreateOutgoingLink" // whose event answers for ever
			for _, said := range []bool{false, true} {
				second := send(tt.command, x, tt.body, said)
				if n := i.effects(x); n != 1 || second.Link != first.Link || (len(second.Events) != 0) != same || second.Sequence != first.Sequence || second.Authorization != first.Authorization {
					t.Errorf("said to be a repeat: %v: %d effects; first %+v, then %+v", said, n, first, second)
				}
				if err := kv.Purge(i.ctx(), x.String()); err != nil {
					t.Fatal(err)
				}
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

// An import that comes again after the grant was renewed many times must not put
// its refresh token in the place of the newest one.
func TestOldImportComesAgain(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	link, imported := i.createLink(o, "old"), uuid.NewSHA1(uuid.New(), []byte("row 1"))
	record := func(id uuid.UUID, token string) commands.Outcome {
		t.Helper()
		return i.send(t, "RecordTokenIssued", map[string]any{"command_id": id, "link_id": link, "refresh_token": token, "access_token": token, "expires_at": time.Now().Add(time.Hour)}, false)
	}
	first := record(imported, "the-first")
	for range 6 {
		record(uuid.New(), "a-later-one")
	}
	kv, err := i.js().KeyValue(i.ctx(), i.node.Namespace.Outcomes())
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(i.ctx(), imported.String()); err != nil {
		t.Fatal(err)
	}
	again := record(imported, "the-first")
	if len(again.Events) != 0 || again.Sequence != first.Sequence {
		t.Errorf("first %+v, then %+v", first, again)
	}
	if token, err := i.c.Token(i.ctx(), link, "", 0); err != nil || token.AccessToken != "a-later-one" {
		t.Errorf("the newest token: %q, %v", token.AccessToken, err)
	}
}

// One id for two grants of a link is refused: the answer to the first is none for the
// second, and its address would have another person consent to the wrong grant.
func TestOneIDForTwoGrants(t *testing.T) {
	i := start(t)
	link := i.createLink(newOP(t, 3600), "crm")
	for _, command := range []string{"BeginAuthorization", "RevokeGrant"} {
		id := uuid.Must(uuid.NewV7())
		of := func(subject string) map[string]any {
			return map[string]any{"command_id": id, "link_id": link, "subject": subject}
		}
		i.do("BeginAuthorization", map[string]any{"command_id": uuid.New(), "link_id": link, "subject": "bert"})
		i.do(command, of("anna"))
		if err := i.c.Do(i.ctx(), command, of("bert"), &commands.Outcome{}); domain.CodeOf(err) != domain.InvalidArgument {
			t.Errorf("%s: %v", command, err)
		}
		i.do(command, of("anna"))
	}
}
