package domain

import "embed"

// Schemas are the JSON Schemas of all that goes through Outlink's doors, as
// schemas/<name>.json; an event's name is its type. internal/contract makes them.
//
//go:embed schemas/*.json
var Schemas embed.FS
