package main

import (
	"bytes"
	"strings"
	"testing"

	"outlink/commands"
)

// The contracts are in the binary: no server is asked.
func TestSchema(t *testing.T) {
	for args, tt := range map[string]struct {
		code int
		says string
	}{
		"schema openapi":                              {0, "openapi: 3.1.0"},
		"schema asyncapi":                             {0, "asyncapi: 3.0.0"},
		"schema events":                               {0, "grant.token_issued"},
		"schema events grant.token_issued":            {0, `"title": "outlink.grant.token_issued.v1"`},
		"schema events outlink.grant.token_issued.v1": {0, `"title": "outlink.grant.token_issued.v1"`},
		"schema commands DisableLink":                 {0, `"title": "outlink.command.DisableLink.v1"`},
		"schema commands grant.token_issued":          {2, "list them: outlink schema commands"},
		"schema messages outcome":                     {0, `"title": "outlink.outcome.v1"`},
		"schema messages notice -o json":              {0, `"title": "outlink.notice.v1"`},
		"schema commands -o json":                     {0, `"name":"DisableLink","schema":"outlink.command.DisableLink.v1","description":"Takes a link`},
	} {
		var out bytes.Buffer
		code := run(t.Context(), strings.Fields(args), func(string) string { return "" }, nil, &out, &out)
		if code != tt.code || !strings.Contains(out.String(), tt.says) {
			t.Errorf("outlink %s: exit %d, no %q in\n%s", args, code, tt.says, out.String())
		}
	}
	all, err := schemas("commands")
	if err != nil || len(all) != len(commands.Names()) {
		t.Errorf("%d schemas of commands, %v", len(all), err)
	}
}
