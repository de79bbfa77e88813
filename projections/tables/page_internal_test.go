package tables

import (
	"encoding/base64"
	"testing"

	"outlink/domain"
)

// A cursor that no page of the list ended with is refused: it would begin at its
// end, or anywhere.
func TestCursors(t *testing.T) {
	const id = `"i":"0199a000-0000-7000-8000-000000000001"`
	all := []order{changes, times, words}
	for doc, good := range map[string][]order{
		`{"s":7}`:                    {changes},
		`{"s":7,` + id + `}`:         {times},
		`{"k":"ann",` + id + `}`:     {words},
		`{` + id + `}`:               {times, words}, // of 1970; of a subject without a name
		`{"s":7,"k":"a",` + id + `}`: {},
		`{}`:                         {},
		`null`:                       {},
		`{"x":1}`:                    {},
		`{"s":0}`:                    {},
		`{"k":"ann"}`:                {},
		`[]`:                         {},
	} {
		taken := map[order]bool{}
		for _, o := range good {
			taken[o] = true
		}
		for _, o := range all {
			c, err := parseCursor(base64.RawURLEncoding.EncodeToString([]byte(doc)), o)
			if taken[o] && (err != nil || c == nil) || !taken[o] && domain.CodeOf(err) != domain.InvalidArgument {
				t.Errorf("%s in the order %d: %v, %v", doc, o, c, err)
			}
		}
	}
}
