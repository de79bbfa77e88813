package domain_test

import (
	"testing"

	"outlink/domain"
)

// What shows as it is, is one line, whatever its script.
func TestOneLine(t *testing.T) {
	for text, is := range map[string]bool{
		"": true, "for the audit": true, "نمی\u200cخواهم": true, "👩\u200d💻": true,
		"a\nb": false, "a\x1b[31m": false, "a\u202eb": false, "a\u200bb": false, "a\u200db": false, "\u200dab": false, "é\u200d\u200db": false, "a\u2028b": false, "\ufeffa": false,
	} {
		if domain.OneLine(text) != is {
			t.Errorf("%q: %t", text, !is)
		}
	}
}
