package domain

import (
	"strings"
	"unicode"
)

// OneLine reports whether a text shows as what it is: in one line, and without
// characters that nobody sees, which hide parts of it or have it read backwards.
func OneLine(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) })
}
