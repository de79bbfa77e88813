package domain

import "github.com/google/uuid"

// Given refuses an id that was left out.
func Given(member string, id uuid.UUID) error {
	if id == uuid.Nil {
		return Errorf(InvalidArgument, "%s is missing", member)
	}
	return nil
}

// Key names an aggregate: a link by Link alone, a grant by both, a reserved
// name by the name's id in Link's place.
type Key struct{ Link, Grant uuid.UUID }

// String is the key as a CloudEvents subject: "<link>" or "<link>/<grant>".
func (k Key) String() string {
	if k.Grant == uuid.Nil {
		return k.Link.String()
	}
	return k.Link.String() + "/" + k.Grant.String()
}
