package node_test

import (
	"net/http"
	"testing"
	"time"
)

// A page that somebody looks at does not hold a node that ends.
func TestStopWithLivePage(t *testing.T) {
	i := start(t)
	res, err := http.Get(i.node.URL() + "/live/links")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := res.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	i.stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the node ended after %s", took)
	}
}
