package cockroach_test

import (
	"net/url"
	"path/filepath"
	"testing"

	"outlink/internal/testenv/database"
	"outlink/projections/cockroach"
	"outlink/projections/storetest"
)

// The database is reached by TLS with certificates on both sides, as the URL says;
// who has none, or does not know the server, is not served.
func TestTLS(t *testing.T) {
	server, dir := database.Secure(t)
	storetest.Fill(t, open(t, database.On(t, server)))
	for name, change := range map[string]func(url.Values){
		"no TLS":            func(q url.Values) { q.Set("sslmode", "disable") },
		"no certificate":    func(q url.Values) { q.Del("sslcert"); q.Del("sslkey") },
		"another authority": func(q url.Values) { q.Set("sslrootcert", filepath.Join(dir, "other.crt")) },
	} {
		u, err := url.Parse(server)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		change(q)
		u.RawQuery = q.Encode()
		if s, err := cockroach.Open(t.Context(), u.String()); err == nil {
			_ = s.Close()
			t.Errorf("%s: the store was opened", name)
		}
	}
}
