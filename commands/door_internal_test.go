package commands

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// A command that names no link is refused for that, and not because there is no link
// of the id that nobody gave.
func TestEveryCommandNamesItsLink(t *testing.T) {
	s := &Service{NewID: uuid.New, Now: time.Now}
	for _, name := range Names() {
		if name == "CreateOutgoingLink" { // which makes one
			continue
		}
		_, err := s.Run(t.Context(), name, Door{}, []byte(`{}`))
		if domain.CodeOf(err) != domain.InvalidArgument || !strings.Contains(err.Error(), "link_id is missing") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the log keeps of who and why shows as what it is.
func TestHeaderInOneLine(t *testing.T) {
	s := &Service{NewID: uuid.New, Now: time.Now}
	for _, member := range []string{"actor", "reason", "correlation_id"} {
		for _, value := range []string{`a\nb`, `\u001b[2J`, `\u202eb`, strings.Repeat("x", 501)} {
			_, err := s.Run(t.Context(), "DisableLink", Door{}, []byte(`{"link_id":"`+uuid.NewString()+`","`+member+`":"`+value+`"}`))
			if domain.CodeOf(err) != domain.InvalidArgument || !strings.Contains(err.Error(), member) {
				t.Errorf("%s %.20s: %v", member, value, err)
			}
		}
	}
}
