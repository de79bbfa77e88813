package microapi

import (
	"strings"

	"github.com/nats-io/nats.go/micro"
)

// caller is who gets the reply: the name in its inbox prefix "_INBOX_<name>.",
// to which nobody else may subscribe. It is empty where the prefix says nothing.
func caller(r micro.Request) string {
	rest, ok := strings.CutPrefix(r.Reply(), "_INBOX_")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, ".")
	return name
}
