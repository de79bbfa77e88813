package contract

import (
	"slices"
	"testing"
)

// What is limited is there: a field that has another name today is found.
func TestLimitsAreOfMembers(t *testing.T) {
	read := map[string]bool{}
	for _, m := range slices.Concat(Commands(), Questions(), []Message{TokenRequest}) {
		for _, f := range Members(m.Type) {
			read[f.path()] = true
		}
	}
	for path := range limits {
		if !read[path] {
			t.Errorf("nothing that is read has the member %s", path)
		}
	}
	for path := range spans {
		if !read[path] {
			t.Errorf("nothing that is read has the member %s", path)
		}
	}
}
