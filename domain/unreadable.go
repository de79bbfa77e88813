package domain

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// ErrTrailing says that there is more than one JSON value.
var ErrTrailing = errors.New("there is more after the JSON object")

// Strictly decodes one JSON value: an unknown member is more likely a typing error
// than a wish, and silence would lose it. [Unreadable] says what is wrong.
func Strictly(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return ErrTrailing
	}
	return nil
}

// Unreadable says what is wrong with JSON without repeating it, for it may hold a
// secret, and without names of this program's types, which say nothing to whoever
// sent it.
func Unreadable(err error) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return "it is empty; send a JSON object"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the JSON ends too early"
	case errors.Is(err, ErrTrailing):
		return ErrTrailing.Error()
	case errors.As(err, &syntax):
		return fmt.Sprintf("malformed JSON at byte %d", syntax.Offset)
	case errors.As(err, &typ) && member(typ.Field) == "":
		return "send a JSON object, not a " + kindOf(typ.Value)
	case errors.As(err, &typ):
		return fmt.Sprintf("member %q must be a %s, not a %s", member(typ.Field), wanted(typ), kindOf(typ.Value))
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return "unknown member " + strings.TrimPrefix(err.Error(), "json: unknown field ")
	case strings.HasPrefix(err.Error(), "a secret is "):
		return err.Error()
	}
	return "a member has a value that does not fit (ids are UUIDs, times are RFC 3339)"
}

// member is a path of members without the names of embedded Go types, which begin
// with a capital as no member does.
func member(path string) string {
	var names []string
	for _, name := range strings.Split(path, ".") {
		if name != "" && (name[0] < 'A' || name[0] > 'Z') {
			names = append(names, name)
		}
	}
	return strings.Join(names, ".")
}

// kindOf is what JSON holds, as a person says it; a number may come with its
// value, which is not repeated.
func kindOf(value string) string {
	switch kind, _, _ := strings.Cut(value, " "); kind {
	case "array":
		return "list"
	case "bool":
		return "boolean"
	default:
		return kind
	}
}

// wanted is what a member must hold.
func wanted(err *json.UnmarshalTypeError) string {
	t := err.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "string"
	}
	switch t.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice, reflect.Array:
		return "list"
	case reflect.Struct, reflect.Map:
		return "object"
	}
	return "whole number that is in range"
}
