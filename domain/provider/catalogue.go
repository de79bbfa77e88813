package provider

import (
	_ "embed"
	"maps"
	"slices"
	"strings"

	"outlink/domain"
)

// CatalogueYAML is the catalogue as it ships; internal/catalogue reads it.
//
//go:embed catalogue.yaml
var CatalogueYAML string

// Catalogue is the set of providers by key.
type Catalogue struct{ entries map[string]Provider }

// NewCatalogue makes a catalogue; of two entries with one key the later counts.
func NewCatalogue(entries ...Provider) Catalogue {
	c := Catalogue{entries: make(map[string]Provider, len(entries))}
	for _, p := range entries {
		c.entries[p.Key] = p
	}
	return c
}

// With returns a copy of c with further entries, such as the demo provider's.
func (c Catalogue) With(entries ...Provider) Catalogue {
	return NewCatalogue(append(c.All(), entries...)...)
}

// Get returns the provider of that key, or an invalid_argument error that lists
// the keys there are.
func (c Catalogue) Get(key string) (Provider, error) {
	p, ok := c.entries[key]
	if !ok {
		known, wrong := slices.Sorted(maps.Keys(c.entries)), "provider "+shown(key)+" is not in the catalogue"
		if key == "" {
			wrong = "provider is missing"
		}
		return Provider{}, domain.Errorf(domain.InvalidArgument, "%s; use one of %s (%q takes any endpoints)", wrong, strings.Join(known, ", "), Custom).
			With("providers", known)
	}
	return p, nil
}

// All returns the providers, sorted by key.
func (c Catalogue) All() []Provider {
	all := slices.Collect(maps.Values(c.entries))
	slices.SortFunc(all, func(a, b Provider) int { return strings.Compare(a.Key, b.Key) })
	return all
}
