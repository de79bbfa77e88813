package microapi

import (
	"encoding/json"
	"strings"

	"github.com/nats-io/nats.go/micro"
)

// requestInfo is the header in which the server says who uses an imported
// service (share: true in the import).
const requestInfo = "Nats-Request-Info"

// caller is who gets the reply: the name in its inbox prefix "_INBOX_<name>.",
// to which nobody else may subscribe, or the account that imported the service.
// It is empty where neither says anything.
func caller(r micro.Request) string {
	reply := r.Reply()
	if strings.HasPrefix(reply, "_R_.") {
		return importer(r.Headers().Get(requestInfo))
	}
	rest, ok := strings.CutPrefix(reply, "_INBOX_")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, ".")
	return name
}

// importer is the account that imports the service: its name tag in operator mode,
// where its id is a key.
func importer(info string) string {
	var by struct {
		Account string `json:"acc"`
		NameTag string `json:"name_tag"`
	}
	if json.Unmarshal([]byte(info), &by) != nil {
		return ""
	}
	if by.NameTag != "" {
		return by.NameTag
	}
	return by.Account
}
