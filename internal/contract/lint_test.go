package contract_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outlink/internal/testenv"
)

const ruleset = "testdata/spectral.yaml"

// Spectral finds neither errors nor warnings in the documents, and does find
// what is planted.
func TestSpectral(t *testing.T) {
	for document, plant := range map[string][2]string{
		"openapi.yaml":  {"operationId: listLinks\n", "operationId: showLink\n"},
		"asyncapi.yaml": {"action: receive\n", "action: eat\n"},
	} {
		t.Run(document, func(t *testing.T) {
			t.Parallel()
			if found := testenv.Spectral(t, ruleset, reference+document); found != "" {
				t.Error(found)
			}
			b := string(read(t, reference+document))
			broken := filepath.Join(t.TempDir(), document)
			if err := os.WriteFile(broken, []byte(strings.Replace(b, plant[0], plant[1], 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if found := testenv.Spectral(t, ruleset, broken); found == "" {
				t.Errorf("%q is not found", plant[1])
			}
		})
	}
}
