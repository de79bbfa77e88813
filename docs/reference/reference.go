// Package reference holds what is generated from the Go types and committed:
// the documents of the two APIs, and a page for each command, query and event.
package reference

import "embed"

// Documents are openapi.yaml and asyncapi.yaml.
//
//go:embed openapi.yaml asyncapi.yaml
var Documents embed.FS
