package refresh_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain has more cases played than the library's default, unless somebody
// says how many: the rarest of the bugs that it found took thousands.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("500")
	}
	os.Exit(m.Run())
}
