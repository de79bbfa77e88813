package domain

import "embed"

// Schemas are the JSON Schemas of all events, as schemas/<type>.json.
//
//go:embed schemas/*.json
var Schemas embed.FS
