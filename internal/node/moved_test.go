package node_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/testenv"
)

// Nobody is sent to a provider that would send them back to where this
// installation is no more; an empty update of the link mends it.
func TestChangedPublicURL(t *testing.T) {
	n, o := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n"), newOP(t, 60)
	header := func() commands.Header { return commands.Header{CommandID: uuid.New()} }
	out, err := n.Commands.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{Header: header(), Draft: commands.Draft{
		Name: "crm", Provider: "custom", ClientID: "id", AuthStyle: "none", AuthorizationEndpoint: o.URL + "/authorize", TokenEndpoint: o.URL + "/token",
	}})
	if err != nil {
		t.Fatal(err)
	}
	begin := func() error {
		_, err := n.Commands.BeginAuthorization(t.Context(), commands.BeginAuthorization{Header: header(), Link: out.Link})
		return err
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	n.Commands.Policy.PublicURL = "https://outlink.example.com"
	err = begin()
	if domain.CodeOf(err) != domain.FailedPrecondition || !strings.Contains(err.Error(), "outlink link update "+out.Link.String()) {
		t.Errorf("at another public URL: %v", err)
	}
	moved, err := n.Commands.UpdateOutgoingLink(t.Context(), commands.UpdateOutgoingLink{Header: header(), Link: out.Link})
	if err != nil || moved.RedirectURL != "https://outlink.example.com/oauth/callback/"+out.Link.String() {
		t.Errorf("updated to %q, %v", moved.RedirectURL, err)
	}
	if err := begin(); err != nil {
		t.Errorf("after the update: %v", err)
	}
}
