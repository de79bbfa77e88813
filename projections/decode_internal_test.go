package projections

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// TestDecodesAlike: whatever becomes of an event on its way, projections decode it
// as all others do, or refuse it as they do.
func TestDecodesAlike(t *testing.T) {
	read := 0
	for _, typ := range append(link.Kinds.Types(), grant.Kinds.Types()...) {
		data, err := os.ReadFile(filepath.Join("..", "domain", "testdata", "events", typ+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for name, changed := range map[string]string{
			"as it is": string(data), "other case": strings.ToUpper(string(data)), "cut off": string(data[:len(data)-3]), "nothing": "", "null": "null",
			"an unknown member": strings.Replace(string(data), "{", `{"unknown":[1,{}],`, 1), "a member twice": strings.Replace(string(data), "{", `{"at":"2020-01-01T00:00:00Z",`, 1),
			"no UTF-8": strings.Replace(string(data), "a", "\xff", 9), "numbers": strings.ReplaceAll(string(data), `"`, "1"), "texts": strings.NewReplacer("1", `"x"`, "true", `"x"`).Replace(string(data)),
			"nulls": strings.NewReplacer("true", "null", "1", "null").Replace(string(data)), "more behind it": string(data) + "{}",
		} {
			r := domain.Record{Type: typ, Data: []byte(changed)}
			if strings.HasPrefix(typ, "outlink.link.") {
				alike(t, link.Kinds, r, name)
			} else {
				alike(t, grant.Kinds, r, name)
			}
			read++
		}
	}
	if read < 300 {
		t.Errorf("only %d events were read", read)
	}
}

func alike[E any](t *testing.T, kinds domain.Kinds[E], r domain.Record, name string) {
	t.Helper()
	want, refused := kinds.Decode(r.Type, r.Data)
	fast, err := kinds.DecodeBy(unmarshal, r.Type, r.Data)
	if err == nil && (refused != nil || !reflect.DeepEqual(fast, want)) {
		t.Errorf("%s, %s: it decodes as %+v, and otherwise as %+v, %v", r.Type, name, fast, want, refused)
	}
	got, err := decodeBy(kinds, r)
	if !reflect.DeepEqual(got, want) || (err == nil) != (refused == nil) || err != nil && err.Error() != refused.Error() {
		t.Errorf("%s, %s: it decodes as %+v, %v, and otherwise as %+v, %v", r.Type, name, got, err, want, refused)
	}
}
