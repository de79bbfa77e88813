package queries_test

import (
	"strings"
	"testing"

	"outlink/domain"
	"outlink/internal/queries"
)

// A question about a link or a grant that names none is refused for that.
func TestWhatIsMissing(t *testing.T) {
	for name, member := range map[string]string{
		"ShowLink": "link", "ListGrants": "link_id", "ListEvents": "link_id", "ShowGrant": "grant_id", "ExplainGrant": "grant_id",
	} {
		_, err := (&queries.Service{}).Run(t.Context(), name, []byte(`{}`))
		if domain.CodeOf(err) != domain.InvalidArgument || !strings.Contains(err.Error(), member+" is missing") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
