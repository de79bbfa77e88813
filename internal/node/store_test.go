package node_test

import (
	"strings"
	"testing"

	"outlink/domain"
	"outlink/internal/node"
)

// A read model that cannot be opened is an error that names the cause, and no store.
func TestOpenStoreFails(t *testing.T) {
	for database, want := range map[string]struct {
		code domain.Code
		says string
	}{
		"postgres://u:s3cret@127.0.0.1:1/x":     {domain.Unavailable, "connection refused"},
		"postgres://u:s3cret@127.0.0.1:99999/x": {domain.InvalidArgument, "invalid port"},
		"sqlite:/nonexist/dir/x.db":             {domain.Unavailable, "/nonexist/dir/x.db"},
		"mysql://x":                             {domain.InvalidArgument, "sqlite:PATH"},
	} {
		store, err := node.OpenStore(t.Context(), database)
		if store != nil || domain.CodeOf(err) != want.code || !strings.Contains(domain.Public(err).Message, want.says) {
			t.Errorf("%s: %v, want %s with %q", database, err, want.code, want.says)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error has the password", database)
		}
	}
}
