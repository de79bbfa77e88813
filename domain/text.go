package domain

import "unicode"

// OneLine reports whether a text shows as what it is: in one line, and without
// characters that nobody sees, which hide parts of it or have it read backwards. The
// two that join letters are taken where scripts and emoji need them: not after ASCII.
func OneLine(text string) bool {
	before := ' '
	for _, r := range text {
		joiner := (r == '\u200c' || r == '\u200d') && before > unicode.MaxASCII && !unicode.Is(unicode.Cf, before)
		if !joiner && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return false
		}
		before = r
	}
	return true
}
