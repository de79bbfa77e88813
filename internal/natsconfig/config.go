package natsconfig

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/nats-io/nkeys"
)

// NKeys returns the part of a server's configuration that has the accounts and
// users, who prove that they have the seed in their file. Those that were made
// before are used again.
func (i Installation) NKeys(before []File) (config string, seeds []File, err error) {
	if err := i.Check(); err != nil {
		return "", nil, err
	}
	ring := newRing(before)
	byAccount := map[string][]keyed{}
	for _, u := range i.users() {
		public, err := ring.public(u.Name+".nk", nkeys.CreateUser)
		if err != nil {
			return "", nil, err
		}
		byAccount[u.Account] = append(byAccount[u.Account], keyed{user: u, Key: public})
	}
	var b strings.Builder
	err = page.Execute(&b, map[string]any{
		"Outlink": byAccount[accountOutlink], "System": byAccount[accountSystem],
		"Apps": i.Apps, "By": byAccount, "Services": imports(i.Namespace),
	})
	return b.String(), ring.files, err
}

type keyed struct {
	user
	Key string
}

// list writes subjects one to a line; an empty list would allow everything, so
// it denies everything instead.
func list(subjects []string) string {
	if len(subjects) == 0 {
		return `{ deny: ">" }`
	}
	return "{ allow: " + array(subjects) + " }"
}

func array(subjects []string) string {
	var b strings.Builder
	b.WriteString("[\n")
	for _, s := range subjects {
		fmt.Fprintf(&b, "          %q\n", s)
	}
	b.WriteString("        ]")
	return b.String()
}

var page = template.Must(template.New("nats").Funcs(template.FuncMap{"list": list, "array": array}).Parse(
	`{{define "users"}}    users: [{{range .}}
      # {{.Name}}
      { nkey: {{.Key}}{{if .Subscribe}}, permissions: {
        publish: {{if .DenyPublish}}{
          allow: {{array .Publish}}
          deny: {{array .DenyPublish}}
        }{{else}}{{list .Publish}}{{end}}
        subscribe: {{list .Subscribe}}
      }{{end}} }{{end}}
    ]
{{end}}# Accounts and users of Outlink, written by outlink nats-config. Include it in the
# server's configuration. There are no secrets in it: each user's seed is in a
# file of its own.
accounts {
  OUTLINK {
    jetstream: enabled
{{if .Apps}}    exports: [{{range .Services}}
      { service: {{printf "%q" .}}, accounts: [{{range $i, $app := $.Apps}}{{if $i}}, {{end}}{{printf "%q" $app}}{{end}}] }{{end}}
    ]
{{end}}{{template "users" .Outlink}}  }
  SYS {
{{template "users" .System}}  }{{range $app := .Apps}}
  {{printf "%q" $app}} {
    imports: [{{range $.Services}}
      { service: { account: OUTLINK, subject: {{printf "%q" .}} }, share: true }{{end}}
    ]
{{template "users" index $.By $app}}  }{{end}}
}
system_account: SYS
`))
