package cockroach

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// column gives a column's values, as the driver takes them without reflection. Rows
// are large: they stay where they are.
func column[Row, T any](rows []Row, of func(*Row) T) pgtype.FlatArray[T] {
	values := make([]T, len(rows))
	for i := range rows {
		values[i] = of(&rows[i])
	}
	return values
}

// ids is a column of ids. The driver would make a text of each and read that again.
type ids []uuid.UUID

// optionalIDs is a column of ids where the zero one is NULL.
type optionalIDs []uuid.UUID

func idColumn[Row any](rows []Row, of func(*Row) uuid.UUID) ids { return ids(column(rows, of)) }

// idsFirst is a column of ids that is the first argument of a statement, with the
// room that all its arguments take. The driver encodes them into one buffer, which
// it makes anew for each statement and grows by a quarter each time: for a megabyte
// of rows it would copy five.
type idsFirst struct {
	ids
	room int // bytes
}

// idArrays is how a connection encodes arrays of ids.
type idArrays struct{ *pgtype.ArrayCodec }

// knowIDs has a connection's types know all columns of ids.
func knowIDs(types *pgtype.Map) {
	element, _ := types.TypeForOID(pgtype.UUIDOID) // one of the driver's own
	types.RegisterType(&pgtype.Type{Name: "_uuid", OID: pgtype.UUIDArrayOID, Codec: idArrays{&pgtype.ArrayCodec{ElementType: element}}})
}

// PlanEncode implements pgtype.Codec.
func (c idArrays) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		switch value.(type) {
		case ids, optionalIDs, idsFirst:
			return encodeIDs{}
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// encodeIDs writes an array in PostgreSQL's binary format (array_send in its
// arrayfuncs.c): dimensions, whether there are NULLs, the elements' type, and of the
// one dimension its length and lower bound; then each element behind its length.
type encodeIDs struct{}

// Encode implements pgtype.EncodePlan.
func (encodeIDs) Encode(value any, buf []byte) ([]byte, error) {
	var column []uuid.UUID
	one, nulls := appendID, 0
	switch v := value.(type) {
	case ids:
		column = v
	case idsFirst:
		column, buf = v.ids, slices.Grow(buf, v.room)
	case optionalIDs:
		column, one = v, appendOptionalID
		if slices.Contains(column, uuid.Nil) {
			nulls = 1
		}
	default:
		return nil, fmt.Errorf("%T is no column of ids", value)
	}
	for _, n := range [...]int{1, nulls, pgtype.UUIDOID, len(column), 1} {
		buf = length(buf, n)
	}
	for _, id := range column {
		buf = one(buf, id)
	}
	return buf, nil
}

// roomy gives a statement of columns the room for them: arrays in binary, where
// each value has its length in four bytes before it.
func roomy(q statement) statement {
	first, ok := q.args[0].(ids)
	if !ok {
		return q
	}
	room := 0
	for _, column := range q.args {
		room += roomOf(column)
	}
	q.args[0] = idsFirst{first, room}
	return q
}

func roomOf(column any) int {
	const header, size = 20, 4 // of an array; and of each value
	room := header
	switch c := column.(type) {
	case pgtype.FlatArray[string]:
		for _, v := range c {
			room += size + len(v)
		}
	case pgtype.FlatArray[[]byte]:
		for _, v := range c {
			room += size + len(v)
		}
	case ids:
		room += len(c) * (size + len(uuid.Nil))
	case optionalIDs:
		room += len(c) * (size + len(uuid.Nil))
	case pgtype.FlatArray[int64]:
		room += len(c) * (size + 8)
	case pgtype.FlatArray[time.Time]:
		room += len(c) * (size + 8)
	case pgtype.FlatArray[*time.Time]:
		room += len(c) * (size + 8)
	}
	return room
}
