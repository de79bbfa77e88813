package natsconfig_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outlink/internal/natsconfig"
)

// A configuration that is written later has the same operator, or a server would
// not reload it.
func TestOperatorStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := natsconfig.Installation{Namespace: namespace}
		first, secrets, err := i.Operator(nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		i.Apps = []string{"crm"}
		second, _, err := i.Operator(secrets)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := operatorLine(first), operatorLine(second); a != b || a == "" {
			t.Errorf("the operator was\n%s\nand is\n%s", a, b)
		}
	})
}

func operatorLine(config string) string {
	for line := range strings.Lines(config) {
		if strings.HasPrefix(line, "operator: ") {
			return line
		}
	}
	return ""
}
