package node_test

import (
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// A token that is given in exchange goes to the token endpoint and nowhere else.
func TestExchangedTokenShowsNowhere(t *testing.T) {
	i, o := start(t), newOP(t, 60)
	person := i.createLink(o, "crm")
	other := i.createLinkWith(o, "exchanged", func(d *commands.Draft) {
		d.GrantTypes, d.Exchange.Link = []link.GrantType{link.TokenExchange}, person
	})
	begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: person})
	_, ticket, _ := strings.Cut(begun.AuthorizationURL, "?ticket=")
	jar, _ := cookiejar.New(nil)
	if status, page := browse(t, jar, begun.AuthorizationURL); status != http.StatusOK {
		t.Fatalf("the callback answered %d: %s", status, page)
	}
	i.do("RequestToken", commands.RequestToken{Header: commands.Header{CommandID: uuid.New()}, Link: other})
	i.eventually("exchanged", func(r domain.Record) bool {
		return r.Type == "outlink.grant.token_issued.v1" && r.Grant == grant.ID(other, "default")
	})
	o.mu.Lock()
	if !slices.Contains(o.secrets, o.exchanged) {
		t.Error("the token that was given is none of the provider's")
	}
	secrets := append(slices.Clone(o.secrets), ticket)
	o.mu.Unlock()
	i.noSecret(secrets, nil)
}
