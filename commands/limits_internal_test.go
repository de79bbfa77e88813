package commands

import (
	"strings"
	"testing"
)

// Limits count characters, as the refusals and the schemas say.
func TestLimitsCountCharacters(t *testing.T) {
	if err := checkSubject(strings.Repeat("é", MaxSubject)); err != nil {
		t.Error(err)
	}
	if checkSubject(strings.Repeat("é", MaxSubject+1)) == nil {
		t.Errorf("a subject of %d characters is taken", MaxSubject+1)
	}
	if err := (&Header{Reason: strings.Repeat("é", MaxLine)}).check(); err != nil {
		t.Error(err)
	}
	if (&Header{Reason: strings.Repeat("é", MaxLine+1)}).check() == nil {
		t.Errorf("a reason of %d characters is taken", MaxLine+1)
	}
}
