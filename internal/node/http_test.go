package node_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain/grant"
)

// The queries over HTTP, each with what was just written: min_sequence waits for
// the read model.
func TestHTTPQueries(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	jar, _ := cookiejar.New(nil)
	if status, page := browse(t, jar, begun.AuthorizationURL); status != http.StatusOK {
		t.Fatalf("the callback answered %d: %s", status, page)
	}
	out := i.do("RequestRefresh", commands.RequestRefresh{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: id}})
	i.eventually("renewed", issued(2))
	for path, want := range map[string]string{
		"/api/v1/links?health=healthy":                                        id.String(),
		"/api/v1/links?health=attention":                                      `"links":[]`,
		"/api/v1/links?expiring_within=2h":                                    id.String(),
		"/api/v1/links?expiring_within=1m":                                    `"links":[]`,
		"/api/v1/links?expiring_within=soon":                                  "no duration",
		"/api/v1/links?text=CR&provider=custom&status=active":                 id.String(),
		"/api/v1/links?limit=501":                                             "between 1 and 500",
		"/api/v1/links?limit=abc":                                             "is no number",
		"/api/v1/links?limit=-1":                                              "is no number",
		"/api/v1/links/crm":                                                   id.String(),
		"/api/v1/links/crm?version=1":                                         `"healthy":0`,
		"/api/v1/links/crm?version=9":                                         "has no version 9",
		"/api/v1/links/crm?version=1&at=2026-11-24T12:00:00Z":                 "give one of them",
		"/api/v1/links/crm?at=2020-01-01T00:00:00Z":                           "did not exist then",
		"/api/v1/links/crm?at=2120-01-01T00:00:00Z":                           `"healthy":1`,
		"/api/v1/links/crm?at=yesterday":                                      "the query is not readable",
		"/api/v1/links/" + id.String() + "/events":                            `"type":"outlink.link.created.v1"`,
		"/api/v1/links/" + id.String() + "/events?before=1":                   `"events":[]`,
		"/api/v1/links/" + id.String() + "/events?grant=" + uuid.NewString():  `"events":[]`,
		"/api/v1/links/crm/grants":                                            `\"crm\" is no id (a UUID)`,
		"/api/v1/grants/crm/explanation":                                      "is no id (a UUID)",
		"/api/v1/counts":                                                      `"total":1`,
		"/api/v1/links/" + id.String():                                        `"healthy":1`,
		"/api/v1/links/" + id.String() + "/grants":                            `"subject":"default"`,
		"/api/v1/grants/" + grant.ID(id, "default").String() + "/explanation": `"outcome":"issued"`,
		"/api/v1/grants/" + uuid.NewString() + "/explanation":                 "not in the read model",
	} {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		_, body := browse(t, nil, i.node.URL()+path+fmt.Sprintf("%smin_sequence=%d", separator, out.Sequence+2))
		if !strings.Contains(body, want) || !json.Valid([]byte(body)) {
			t.Errorf("%s: no %q in\n%s", path, want, body)
		}
	}
	if status, page := browse(t, nil, i.node.URL()+"/live/links?status=nope"); status != http.StatusBadRequest {
		t.Errorf("a live page with a status that there is not: %d %s", status, page)
	}
	_, body := browse(t, nil, i.node.URL()+"/api/v1/projections")
	if !strings.Contains(body, `"position":`) || !strings.Contains(body, `"projection":"activity"`) {
		t.Errorf("the projections are %s", body)
	}
}
