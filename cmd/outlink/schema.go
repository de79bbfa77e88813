package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"outlink/docs/reference"
	"outlink/domain"
)

func (a *app) schemaCommands() *cobra.Command {
	c := &cobra.Command{Use: "schema", Short: "What goes through Outlink's doors: OpenAPI, AsyncAPI and JSON Schemas"}
	c.AddCommand(a.schemaDocument("openapi", "Print the OpenAPI document of the HTTP API"),
		a.schemaDocument("asyncapi", "Print the AsyncAPI document of the NATS API"),
		a.schemaList("events", "List the events, or print the JSON Schema of one"),
		a.schemaList("commands", "List the commands, or print the JSON Schema of one"),
		a.schemaList("messages", "List what else is sent, or print the JSON Schema of one"))
	return c
}

func (a *app) schemaDocument(name, short string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		b, err := reference.Documents.ReadFile(name + ".yaml")
		if err != nil {
			return err
		}
		_, err = a.out.Write(b)
		return err
	}}
}

func (a *app) schemaList(kind, short string) *cobra.Command {
	return &cobra.Command{Use: kind + " [NAME]", Short: short, Args: cobra.MaximumNArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		all, err := schemas(kind)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return a.listSchemas(all)
		}
		for _, s := range all {
			if s.Name == args[0] || s.Schema == args[0] {
				_, err := a.out.Write(s.text)
				return err
			}
		}
		return usage(fmt.Sprintf("there is no %q among the %s; list them: outlink schema %s", args[0], kind, kind))
	}}
}

func (a *app) listSchemas(all []described) error {
	var rows [][]string
	for _, s := range all {
		what, _, _ := strings.Cut(s.Description, ". ")
		rows = append(rows, []string{s.Name, s.Schema, what})
	}
	return a.print(all, []string{"name", "schema", "description"}, rows)
}

// described is a schema as it is listed.
type described struct {
	Name        string `json:"name"`   // DisableLink, grant.token_issued
	Schema      string `json:"schema"` // with kind and version
	Description string `json:"description"`

	text []byte
}

// schemas are those of a kind, in the order of their names.
func schemas(kind string) ([]described, error) {
	files, err := fs.Glob(domain.Schemas, "schemas/*.json")
	if err != nil {
		return nil, err
	}
	var all []described
	for _, file := range files {
		id := strings.TrimSuffix(strings.TrimPrefix(file, "schemas/"), ".json")
		if kindOf(id) != kind {
			continue
		}
		s := described{Name: strings.TrimPrefix(domain.ShortType(id), "command."), Schema: id}
		if s.text, err = domain.Schemas.ReadFile(file); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(s.text, &s); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// kindOf goes by the first token after the product's name.
func kindOf(schema string) string {
	switch strings.Split(schema, ".")[1] {
	case "command":
		return "commands"
	case "link", "grant", "name":
		return "events"
	}
	return "messages"
}
