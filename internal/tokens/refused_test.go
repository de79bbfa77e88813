package tokens_test

import (
	"strings"
	"testing"

	"outlink/domain"
	"outlink/internal/tokens"
)

// What a token was for is read in the audit, line by line.
func TestPurposeInOneLine(t *testing.T) {
	for _, purpose := range []string{"a\nb", "\x1b[2J", "\u202eb", strings.Repeat("x", 101)} {
		_, err := (&tokens.Server{}).Get(t.Context(), tokens.Request{Purpose: purpose})
		if domain.CodeOf(err) != domain.InvalidArgument || !strings.Contains(err.Error(), "purpose") {
			t.Errorf("%q: %v", purpose, err)
		}
	}
}
