package domain

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// ErrTrailing says that there is more than one JSON value.
var ErrTrailing = errors.New("there is more after the JSON object")

// strictly is how requests are read: as encoding/json does, but each member by its
// exact name, and once. Of two readers of {"name":…,"Name":…} one would see the one
// and one the other.
var strictly = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false),
	json.MatchCaseInsensitiveNames(false), json.RejectUnknownMembers(true), jsontext.AllowDuplicateNames(false))

// Strictly decodes one JSON object: an unknown member is more likely a typing error
// than a wish, and silence would lose it. [Unreadable] says what is wrong.
func Strictly(b []byte, into any) error {
	switch kind := jsontext.Value(b).Kind(); {
	case kind == 'n': // which would leave all as it is
		return &json.SemanticError{JSONKind: kind}
	case len(bytes.TrimSpace(b)) == 0:
		return io.EOF
	}
	err := json.Unmarshal(b, into, strictly)
	if err != nil && whole(b) {
		return ErrTrailing
	}
	return err
}

// whole reports whether there is a value before what is wrong.
func whole(b []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(b), strictly)
	if dec.SkipValue() != nil {
		return false
	}
	_, err := dec.ReadToken()
	return !errors.Is(err, io.EOF)
}

// Unreadable says what [Strictly] found wrong with JSON without repeating it, for it
// may hold a secret, and without names of this program's types, which say nothing to
// whoever sent it.
func Unreadable(err error) string {
	var syntax *jsontext.SyntacticError
	var misfit *json.SemanticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the JSON ends too early"
	case errors.Is(err, io.EOF):
		return "it is empty; send a JSON object"
	case errors.Is(err, ErrTrailing):
		return ErrTrailing.Error()
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return fmt.Sprintf("member %q is there twice", member(syntax.JSONPointer))
	case errors.As(err, &syntax):
		return fmt.Sprintf("malformed JSON at byte %d", syntax.ByteOffset+1)
	case errors.As(err, &misfit) && misfit.JSONPointer == "":
		return "send a JSON object, not " + kindOf(misfit.JSONKind)
	case errors.As(err, &misfit) && errors.Is(err, json.ErrUnknownName):
		return fmt.Sprintf("unknown member %q", member(misfit.JSONPointer))
	case errors.As(err, &misfit):
		return fmt.Sprintf("member %q %s", member(misfit.JSONPointer), misfits(misfit))
	}
	return "it is no JSON object that this version knows"
}

// member is a path of members, with dots. What is in the place of a secret or a token
// is not repeated, though it looks like a name.
func member(at jsontext.Pointer) string {
	var names []string
	for name := range at.Tokens() {
		names = append(names, short(name))
		if strings.Contains(name, "secret") || strings.Contains(name, "token") {
			break
		}
	}
	return strings.Join(names, ".")
}

// longest is how much of a member's name is repeated; no name of ours is that long.
const longest = 60

func short(name string) string {
	if len(name) > longest {
		return name[:longest] + "…"
	}
	return name
}

// misfits says why a member's value is not taken.
func misfits(e *json.SemanticError) string {
	want, got := wanted(e.GoType), kindOf(e.JSONKind)
	switch {
	case errors.Is(e, errSecret):
		return "does not fit: " + errSecret.Error()
	case want == got:
		return "has a value that does not fit (ids are UUIDs, times are RFC 3339)"
	case e.JSONKind == '0' && want == wholeNumber:
		return "must be " + want
	}
	return "must be " + want + ", not " + got
}

// kindOf is what JSON holds, as a person says it.
func kindOf(kind jsontext.Kind) string {
	switch kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "a boolean"
	}
	return "a " + kind.String()
}

const wholeNumber = "a whole number that is in range"

// wanted is what a member must hold.
func wanted(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return kindOf('"')
	}
	switch t.Kind() {
	case reflect.String:
		return kindOf('"')
	case reflect.Bool:
		return kindOf('t')
	case reflect.Slice, reflect.Array:
		return kindOf('[')
	case reflect.Struct, reflect.Map:
		return kindOf('{')
	}
	return wholeNumber
}
